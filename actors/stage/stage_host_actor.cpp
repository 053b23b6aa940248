#include "actors/stage/stage_host_actor.hpp"

#include "actors/path/planner.hpp"
#include "actors/stage/host_loads_actor.hpp"
#include "actors/stage/signing_order.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::chrono::milliseconds tick_interval{250};

std::string slot_name(const digest& model, layer_range layers) {
  return fmt::format("shard-{}-{}-{}", to_hex(model).substr(0, 8), layers.first, layers.last);
}

void answer(host_pointer self, const node_id& to, const wire_message& order, error reason) {
  self->state.environment.links->send_wire(
      to, {order.request, order.driver, order.stage, stage_failed{std::move(reason)}});
}

host_state::slot* slot_for(host_pointer self, const wire_open& open, error& refused) {
  host_state& state = self->state;
  const std::string name = slot_name(open.model, open.layers);
  if (const auto known = state.slots.find(name); known != state.slots.end()) {
    return &known->second;
  }
  const auto model = state.environment.models->find(open.model, open.layers);
  if (!model) {
    refused = fail(errc::segment_missing, "layers {} to {} of model {} are not held here",
                   open.layers.first, open.layers.last - 1, to_hex(open.model).substr(0, 8));
    return nullptr;
  }
  if (state.slots.size() >= limits::stages_max) {
    refused = fail(errc::busy, "{} segments are in use here", state.slots.size());
    return nullptr;
  }
  auto segment = compute::segment::make_checked(model->weights, open.layers, *model->kernels);
  if (!segment) {
    refused = segment.error();
    return nullptr;
  }
  host_state::slot made{open.model, open.layers, std::make_shared<stage_bench>(), model, {}, {}};
  made.bench->segment = std::move(*segment);
  made.bench->kv_bytes_max = state.environment.memory_bytes;
  made.bench->desk = state.environment.desk;
  made.bench->cache = {state.environment.cache, open.model};
  if (state.environment.env != nullptr) {
    made.bench->env = state.environment.env;
    made.bench->meter = state.meter;
  }
  state.environment.launch(self, name, made.bench);
  return &state.slots.emplace(name, std::move(made)).first->second;
}

void report_load(host_pointer self);

void drop_session(host_pointer self, std::pair<request_id, layer_index> key) {
  host_state& state = self->state;
  const auto found = state.sessions.find(key);
  if (found == state.sessions.end()) {
    return;
  }
  const auto slot = state.slots.find(found->second.slot);
  if (slot != state.slots.end()) {
    if (slot->second.shard) {
      self->send(slot->second.shard, to_stage<close_session>{{}, key.first, {}});
    }
    std::erase_if(slot->second.waiting,
                  [&](const order_received& order) { return order.message.request == key.first; });
  }
  state.session_bytes -= found->second.bytes;
  state.sessions.erase(found);
  state.environment.links->drop_stage(key.first, key.second);
}

// Hands an open to its shard, with proxies of who is before and behind it.
void open_at_shard(host_pointer self, host_state::slot& slot, const order_received& order) {
  host_state& state = self->state;
  peers& links = *state.environment.links;
  const auto& open = std::get<wire_open>(order.message.body);
  const request_id request = order.message.request;
  const lead_actor lead =
      make_remote_lead(self->system(), links, order.from, request, open.layers.first);
  const frame_sink next = open.next.lead ? frame_sink{lead}
                                         : make_remote_sink(self->system(), links, open.next.node,
                                                            open.next.layers.first);
  links.route_stage(request, open.layers.first, slot.shard, open.previous);
  self->send(slot.shard,
             open_session{open, request, order.message.driver, stage_index{0}, lead, next});
  const auto session = state.sessions.find({request, open.layers.first});
  if (session != state.sessions.end() && session->second.evidence) {
    self->send(slot.shard,
               to_stage<sign_evidence>{{*session->second.evidence}, request, order.message.driver});
  }
}

const member* find_member(const host_state& state, const node_id& node) {
  const auto found = std::find_if(state.members->begin(), state.members->end(),
                                  [&](const member& m) { return m.node == node; });
  return found == state.members->end() ? nullptr : &*found;
}

std::uint64_t weight_bytes(const host_state& state) {
  std::uint64_t bytes = 0;
  for (const auto& model : state.environment.models->all()) {
    bytes += model->held_bytes;
  }
  return bytes;
}

/// What the planner counts for computing at all: not to be promised to requests, or a path through
/// here would no longer fit for anybody else.
std::uint64_t buffer_bytes(const host_state& state) {
  std::uint64_t bytes = 0;
  for (const auto& model : state.environment.models->all()) {
    bytes = std::max(bytes, stage_buffers(model->weights.config, model->prefill_chunk));
  }
  return bytes;
}

/// Tokens that can be drawn within so many positions: the last one needs none.
std::size_t drawn_max(const request_log& log, std::uint32_t positions) {
  return std::max<std::size_t>(log.drawn.size(),
                               std::min<std::size_t>(log.max_tokens, std::size_t{positions} + 1));
}

std::uint64_t log_bytes(const request_log& log, std::uint32_t positions) {
  std::uint64_t bytes =
      log.prompt.size() * sizeof(token_id) + drawn_max(log, positions) * sizeof(drawn_token);
  for (const std::string& stop : log.stop) {
    bytes += stop.size();
  }
  return bytes;
}

/// Whether another node than `lead` may drive requests here.
bool has_rivals(const host_state& state, const node_id& lead) {
  return std::any_of(state.members->begin(), state.members->end(), [&](const member& m) {
    return m.node != lead && m.advert.roles.has(role::scheduler) &&
           (m.health == member_health::alive || m.health == member_health::suspect);
  });
}

/// Whether a session of `bytes` fits in place of `known` (null: beside the others).
result<void> check_room(const host_state& state, const node_id& lead, std::uint64_t bytes,
                        const host_state::session* known) {
  const std::uint64_t taken = weight_bytes(state) + buffer_bytes(state);
  const std::uint64_t all =
      state.environment.memory_bytes - std::min(taken, state.environment.memory_bytes);
  std::uint64_t used = 0;
  std::uint64_t own = 0;
  std::size_t own_count = 0;
  for (const auto& [key, session] : state.sessions) {
    if (&session != known) {
      used += session.bytes;
      own += session.lead == lead ? session.bytes : 0;
      own_count += session.lead == lead ? 1U : 0U;
    }
  }
  const std::uint64_t quarters = has_rivals(state, lead) ? limits::lead_share_quarters : 4;
  const bool many = state.sessions.size() + (known == nullptr ? 1 : 0) > limits::sessions_max;
  if (many || 4 * (own_count + 1) > quarters * limits::sessions_max) {
    return fail(errc::busy, "{} requests are computed here, {} of them for {}",
                state.sessions.size(), own_count, short_name(lead));
  }
  if (used + bytes > all || own + bytes > all / 4 * quarters) {
    return fail(errc::busy, "{} MiB are not free here: {} of {} are taken, {} by {}", bytes >> 20U,
                used >> 20U, all >> 20U, own >> 20U, short_name(lead));
  }
  return {};
}

/// Whole windows that a request of so many positions can have.
std::uint32_t windows_of(std::uint32_t positions) { return positions / limits::window_positions; }

/// No request of this model is larger, whatever its driver says.
result<void> check_size(const compute::model_config& config, const wire_open& open) {
  const std::size_t prompt = open.log ? open.log->prompt.size() : 0;
  const std::size_t drawn = open.log ? open.log->drawn.size() : 0;
  // The last token drawn is never computed: one more than the context has room for.
  if (open.positions > config.context || prompt > config.context ||
      prompt + drawn > std::size_t{config.context} + 1) {
    return fail(errc::over_limit,
                "{} positions for {} tokens of a prompt and {} drawn; the model sees {}",
                open.positions, prompt, drawn, config.context);
  }
  if (open.reuse && open.reuse->prefixes.size() > windows_of(open.positions)) {
    return fail(errc::over_limit, "{} windows are named, but {} positions have {}",
                open.reuse->prefixes.size(), open.positions, windows_of(open.positions));
  }
  return {};
}

bool is_there(host_pointer self, const node_id& node) {
  const host_state& state = self->state;
  if (node == state.environment.self) {
    return true;
  }
  const member* const known = find_member(state, node);
  return state.environment.links->connected(node) && known != nullptr &&
         known->health == member_health::alive;
}

// A scheduler takes a request over only from one that is gone or was lost sight of: while its lead
// is there and has spoken since the link was last lost, nobody's higher epoch counts. Nor does that
// of a lead without a link: what it said of itself must not shut out those who have one.
result<void> check_driver(host_pointer self, const host_state::session& session,
                          const order_received& order) {
  const bool other = session.lead != order.from;
  const bool held = other && !session.doubtful && is_there(self, session.lead);
  const bool earlier =
      order.message.driver < session.driver || (other && order.message.driver == session.driver);
  const bool linked = session.lead == self->state.environment.self ||
                      self->state.environment.links->connected(session.lead);
  if (held || (earlier && (linked || !other))) {
    return fail(errc::superseded, "request {:016x} is driven by {}", order.message.request.value,
                short_name(session.lead));
  }
  return {};
}

void open(host_pointer self, order_received order) {
  host_state& state = self->state;
  auto& body = std::get<wire_open>(order.message.body);
  const std::pair key{order.message.request, body.layers.first};
  auto known = state.sessions.find(key);
  if (known != state.sessions.end()) {
    if (const auto allowed = check_driver(self, known->second, order); !allowed) {
      return answer(self, order.from, order.message, allowed.error());
    }
    const bool cut_elsewhere = known->second.slot != slot_name(body.model, body.layers);
    const bool begins_anew =
        known->second.lead != order.from && !(known->second.driver < order.message.driver);
    if (cut_elsewhere || begins_anew) {
      drop_session(self, key);
      known = state.sessions.end();
    }
  }
  error refused;
  host_state::slot* const slot = slot_for(self, body, refused);
  if (slot == nullptr) {
    return answer(self, order.from, order.message, refused);
  }
  const compute::model_config& config = slot->keeps->weights.config;
  if (const auto right = check_size(config, body); !right) {
    return answer(self, order.from, order.message, right.error());
  }
  const std::uint64_t bytes = session_bytes(config, body.layers, body.positions) +
                              (body.log ? log_bytes(*body.log, body.positions) : 0);
  const bool is_new = known == state.sessions.end();
  if (const auto room = check_room(state, order.from, bytes, is_new ? nullptr : &known->second);
      !room) {
    return answer(self, order.from, order.message, room.error());
  }
  if (is_new) {
    known = state.sessions.emplace(key, host_state::session{}).first;
  }
  host_state::session& session = known->second;
  state.session_bytes += bytes - session.bytes;
  session.bytes = bytes;
  session.lead = order.from;
  session.driver = order.message.driver;
  session.slot = slot_name(body.model, body.layers);
  session.previous = body.previous;
  session.next = body.next.lead ? order.from : body.next.node;
  session.orphan_ticks = 0;
  session.asked = 0;
  session.ask_in = 0;
  session.doubtful = false;
  session.windows_max = windows_of(body.positions);
  session.log.reset();
  session.evidence.reset();
  if (body.log) {
    session.drawn_max = drawn_max(*body.log, body.positions);
    session.log = std::move(*body.log);
    body.log.reset();
  }
  if (slot->shard) {
    open_at_shard(self, *slot, order);
  } else if (slot->waiting.size() < limits::requests_active_max) {
    order.bytes.reset(); // it waits for us, not for its sender
    slot->waiting.push_back(std::move(order));
  } else {
    answer(self, order.from, order.message, fail(errc::busy, "a segment is being started"));
  }
}

void keep_drawn(host_state::session& session, const log_token& drawn) {
  if (session.log && drawn.index == session.log->drawn.size() &&
      session.log->drawn.size() < session.drawn_max) {
    session.log->drawn.push_back(drawn.drawn);
  }
}

// What a first stage was told of the request is what it signs for; a later one sees boundaries.
result<void> check_order(const host_state& state, const host_state::session& session,
                         const order_received& order) {
  const evidence_order& asked = std::get<sign_evidence>(order.message.body).order;
  const auto slot = state.slots.find(session.slot);
  if (slot == state.slots.end()) {
    return fail(errc::segment_missing, "the segment that was to sign was given up here");
  }
  signing_facts known{order.message.request, slot->second.model,
                      slot->second.keeps->weights.config.layers, std::nullopt, std::nullopt};
  if (session.log) {
    known.content = content_of(*session.log, known.layers);
  } else if (slot->second.layers.first == 0) {
    return fail(errc::invalid_argument,
                "a first stage signs for a request that it was told; send it the request's log");
  }
  if (state.environment.env != nullptr) {
    known.unix_now = state.environment.env->unix_seconds();
  }
  return check_order(asked, known);
}

// What is neither an open nor for a session of this sender is void.
void take_order(host_pointer self, const order_received& order) {
  host_state& state = self->state;
  const wire_message& m = order.message;
  const auto found = state.sessions.find({m.request, m.stage});
  if (found == state.sessions.end() || found->second.lead != order.from) {
    return;
  }
  if (std::holds_alternative<close_session>(m.body)) {
    return drop_session(self, found->first);
  }
  found->second.doubtful = false;
  if (const auto* drawn = std::get_if<log_token>(&m.body)) {
    return keep_drawn(found->second, *drawn);
  }
  if (const auto* sign = std::get_if<sign_evidence>(&m.body)) {
    if (const auto may = check_order(state, found->second, order); !may) {
      return answer(self, order.from, m, may.error());
    }
    found->second.evidence = sign->order; // also for a shard that is still being started
  }
  if (const auto* names = std::get_if<name_windows>(&m.body);
      names != nullptr &&
      std::uint64_t{names->first} + names->prefixes.size() > found->second.windows_max) {
    return;
  }
  const auto slot = state.slots.find(found->second.slot);
  if (slot == state.slots.end() || !slot->second.shard) {
    return;
  }
  std::visit(
      [&]<class Body>(const Body& body) {
        if constexpr (stage_orders::has<Body>) {
          self->send(slot->second.shard, to_stage<Body>{body, m.request, m.driver});
        }
      },
      m.body);
}

void tell_sessions(host_pointer self, const std::string& slot, const error& reason) {
  for (const auto& [key, session] : self->state.sessions) {
    if (session.slot == slot) {
      self->state.environment.links->send_wire(
          session.lead, {key.first, session.driver, key.second, stage_failed{reason}});
    }
  }
}

void shard_changed(host_pointer self, const child_event& event) {
  host_state& state = self->state;
  const auto found = state.slots.find(event.supervisor);
  if (found == state.slots.end()) {
    return;
  }
  host_state::slot& slot = found->second;
  slot.shard = caf::actor_cast<shard_actor>(event.handle);
  switch (event.what) {
  case child_event::kind::started:
    for (const order_received& order : std::exchange(slot.waiting, {})) {
      const auto session = state.sessions.find({order.message.request, order.message.stage});
      if (session != state.sessions.end() && session->second.lead == order.from &&
          session->second.driver == order.message.driver) { // else closed while it waited
        open_at_shard(self, slot, order);
      }
    }
    return;
  case child_event::kind::lost:
    state.environment.journal->say(log_level::warn, std::nullopt, "{} crashed: {}",
                                   event.supervisor, event.reason.message);
    return tell_sessions(self, event.supervisor,
                         {errc::peer_lost, "the stage crashed and is being restarted"});
  case child_event::kind::abandoned:
    state.environment.journal->say(log_level::error, std::nullopt, "{} was given up: {}",
                                   event.supervisor, event.reason.message);
    tell_sessions(self, event.supervisor,
                  {errc::segment_missing, "the stage crashed too often and was given up here"});
    state.slots.erase(found);
    return;
  }
}

// Schedulers in turn, so that one that cannot does not hold up the request.
void ask_to_adopt(host_pointer self, request_id request, host_state::session& session) {
  host_state& state = self->state;
  std::vector<node_id> able;
  for (const member& m : *state.members) {
    if (m.advert.roles.has(role::scheduler) && !m.advert.draining && m.node != session.lead &&
        is_there(self, m.node)) {
      able.push_back(m.node);
    }
  }
  if (able.empty()) {
    return;
  }
  const node_id chosen = able[(request.value + session.asked++) % able.size()];
  state.environment.journal->say(log_level::info, request, "asks {} to go on for {}",
                                 short_name(chosen), short_name(session.lead));
  state.environment.links->send_wire(chosen, {request, {}, 0, wire_adopt{*session.log}});
}

// Those that were asked for least first, and every lead's in turn, so that one that left very many
// does not hold up another's. The rest waits for the next tick: logs are long, and a scheduler
// takes few at once from one node anyway.
void ask_for_orphans(host_pointer self, std::vector<std::pair<request_id, layer_index>> due) {
  auto& sessions = self->state.sessions;
  std::map<node_id, std::size_t> places;
  std::map<std::pair<request_id, layer_index>, std::pair<std::uint32_t, std::size_t>> order;
  for (const auto& key : due) {
    const host_state::session& session = sessions.at(key);
    order[key] = {session.asked, places[session.lead]++};
  }
  std::sort(due.begin(), due.end(),
            [&](const auto& a, const auto& b) { return order.at(a) < order.at(b); });
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(due.size(), limits::adoptions_per_node_max) &&
                          bytes < limits::adoption_bytes_per_tick;
       ++i) {
    host_state::session& session = sessions.at(due[i]);
    bytes += log_bytes(*session.log, 0);
    session.ask_in = limits::adoption_ticks;
    ask_to_adopt(self, due[i].first, session);
  }
}

// What a lead said last may have been lost with the link; if it needs the stage, it says so again.
// Frames between stages may have been lost too, of which their lead knows nothing.
void link_lost(host_pointer self, const node_id& node) {
  for (auto& [key, session] : self->state.sessions) {
    if (session.lead == node) {
      session.doubtful = true;
      session.doubt_ticks = 0;
    } else if (session.previous == node || session.next == node) {
      const stage_failed lost{
          {errc::peer_lost, fmt::format("the link to {} was lost", short_name(node))}};
      self->state.environment.links->send_wire(session.lead,
                                               {key.first, session.driver, key.second, lost});
    }
  }
}

void tick(host_pointer self) {
  host_state& state = self->state;
  std::vector<std::pair<request_id, layer_index>> expired;
  std::vector<std::pair<request_id, layer_index>> due;
  for (auto& [key, session] : state.sessions) {
    if (is_there(self, session.lead)) {
      session.orphan_ticks = 0;
      session.ask_in = 0;
      if (session.doubtful && ++session.doubt_ticks * tick_interval > limits::session_doubt) {
        // A lead that still counts on it opens it again, and everything goes on from there.
        const stage_failed lost{
            {errc::peer_lost, "the link was lost and the stage not asked since"}};
        state.environment.links->send_wire(session.lead,
                                           {key.first, session.driver, key.second, lost});
        expired.push_back(key);
      }
      continue;
    }
    ++session.orphan_ticks;
    if (session.orphan_ticks * tick_interval > limits::session_grace) {
      expired.push_back(key);
    } else if (session.log && (session.ask_in == 0 || --session.ask_in == 0)) {
      due.push_back(key);
    }
  }
  ask_for_orphans(self, std::move(due));
  for (const auto& key : expired) {
    drop_session(self, key);
  }
  report_load(self);
  self->delayed_send(self, tick_interval, host_tick{});
}

void report_load(host_pointer self) {
  host_state& state = self->state;
  const std::uint64_t used = weight_bytes(state) + state.session_bytes;
  const std::uint64_t all = state.environment.memory_bytes;
  const node_speeds speeds = state.meter->speeds();
  state.environment.report(
      {static_cast<std::uint32_t>(state.sessions.size()), all > used ? all - used : 0,
       static_cast<std::uint64_t>(speeds.decode_bytes_per_second.value_or(0)),
       static_cast<std::uint64_t>(speeds.prefill_bytes_per_second.value_or(0))});
}

host_report describe(const host_state& state) {
  host_report report;
  report.sessions = static_cast<std::uint32_t>(state.sessions.size());
  report.session_bytes = state.session_bytes;
  report.weight_bytes = weight_bytes(state);
  report.work = state.meter->done();
  for (const auto& [name, slot] : state.slots) {
    report.shards.push_back(name);
  }
  return report;
}

} // namespace

caf::behavior host_behavior(host_pointer self, host_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.members = std::make_shared<const std::vector<member>>();
  self->delayed_send(self, tick_interval, host_tick{});
  return {
      [self](order_received& order) {
        if (std::holds_alternative<wire_open>(order.message.body)) {
          open(self, std::move(order));
        } else if (const auto* load = std::get_if<wire_load>(&order.message.body)) {
          take_load(self, order.from, order.message.request, *load);
        } else {
          take_order(self, order);
        }
      },
      [self](const host_load_ended& end) { load_ended(self, end); },
      [self](const child_event& event) { shard_changed(self, event); },
      [self](const members_changed& news) { self->state.members = news.members; },
      [self](const link_changed& link) {
        if (!link.up) {
          link_lost(self, link.node);
        }
      },
      [](const adoption_answered&) {}, // the adopter's own opens say so better
      [self](const host_tick&) { tick(self); },
      [self](const describe_host&) { return describe(self->state); },
  };
}

} // namespace ovir::actors
