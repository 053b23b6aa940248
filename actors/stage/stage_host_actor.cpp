#include "actors/stage/stage_host_actor.hpp"

#include "actors/group/group_keeper.hpp"
#include "actors/path/planner.hpp"
#include "actors/stage/host_loads_actor.hpp"
#include "actors/stage/signing_order.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/parts.hpp"
#include "messages/mutant.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

/// What an open is computed with: the part held here, or of a model with an adapter the part of its
/// base whose weights it shares.
struct opened_model {
  model_catalog::entry part; ///< null: not held here
  digest id;                 ///< of the slot
  bool adapted{false};       ///< the slot's own model is another

  opened_model(const host_state& state, const wire_open& open)
      : part(state.environment.models->find(open.model, open.layers)), id(open.model) {
    if (part && part->base) {
      id = part->base->id;
      adapted = true;
    }
  }
  /// The part whose weights the slot has.
  [[nodiscard]] model_catalog::entry weights(const host_state& state, layer_range layers) const {
    if (!adapted) {
      return part;
    }
    model_catalog::entry now = state.environment.models->find(id, layers);
    return now ? now : part->base;
  }
  /// Keeps the part for as long as the session is there.
  [[nodiscard]] session_model session() const {
    return adapted ? session_model{part->id, {part, part->weights.lora.get()}} : session_model{};
  }
};

/// Of the slot there is for these layers, else one that was never used. Sessions with an adapter
/// have one that takes some, even where another has its place for all others.
std::string slot_name(const host_state& state, const opened_model& model, layer_range layers) {
  const auto known = std::find_if(state.slots.begin(), state.slots.end(), [&](const auto& entry) {
    const host_state::slot& s = entry.second;
    return s.model == model.id && s.layers == layers &&
           (model.adapted ? s.bench->segment->takes_adapters() : !s.superseded);
  });
  if (known != state.slots.end()) {
    return known->first;
  }
  return fmt::format("shard-{}-{}-{}{}", to_hex(model.id).substr(0, 8), layers.first, layers.last,
                     state.retired == 0 ? "" : fmt::format("-{}", state.retired));
}

void answer(host_pointer self, const node_id& to, const wire_message& order, error reason) {
  self->state.environment.links->send_wire(
      to, {order.request, order.driver, order.stage, stage_failed{std::move(reason)}});
}

host_state::slot& add_slot(host_pointer self, const std::string& name, const digest& id,
                           layer_range layers, const model_catalog::entry& model,
                           std::unique_ptr<compute::segment> segment) {
  host_state& state = self->state;
  host_state::slot made{id, layers, std::make_shared<stage_bench>(), model, {}, {}, {}, false};
  made.bench->segment = std::move(segment);
  made.bench->kv_bytes_max = state.environment.memory_bytes;
  made.bench->desk = state.environment.desk;
  made.bench->claim = state.environment.claim;
  made.bench->cache = {state.environment.cache, id, state.environment.reuses};
  if (state.environment.env != nullptr) {
    made.bench->env = state.environment.env;
    made.bench->meter = state.meter;
  }
  state.environment.launch(self, name, made.bench);
  return state.slots.emplace(name, std::move(made)).first->second;
}

host_state::slot* slot_for(host_pointer self, const wire_open& open, const opened_model& model,
                           error& refused) {
  host_state& state = self->state;
  const std::string name = slot_name(state, model, open.layers);
  if (const auto known = state.slots.find(name); known != state.slots.end()) {
    return &known->second;
  }
  if (!model.part) {
    refused = fail(errc::segment_missing, "layers {} to {} of model {} are not held here",
                   open.layers.first, open.layers.last - 1, to_hex(open.model).substr(0, 8));
    return nullptr;
  }
  if (state.slots.size() >= limits::stages_max) {
    refused = fail(errc::busy, "{} segments are in use here", state.slots.size());
    return nullptr;
  }
  const model_catalog::entry weights = model.weights(state, open.layers);
  auto segment = compute::segment::make_checked(weights->weights, open.layers, *weights->kernels);
  if (!segment) {
    refused = segment.error();
    return nullptr;
  }
  // Beside a group that has these layers for sessions without an adapter.
  const bool beside = std::any_of(state.slots.begin(), state.slots.end(), [&](const auto& entry) {
    return entry.second.model == model.id && entry.second.layers == open.layers &&
           !entry.second.superseded;
  });
  host_state::slot& made =
      add_slot(self, name, model.id, open.layers, weights, std::move(*segment));
  made.superseded = beside;
  return &made;
}

// New sessions of layers that a group computes from now on go to a stage of its own; older ones end
// where they are.
void turn_to_group(host_pointer self, const wire_open& open) {
  host_state& state = self->state;
  if (state.environment.groups == nullptr || state.slots.size() >= limits::stages_max) {
    return;
  }
  auto grouped = state.environment.groups->take(open.model, open.layers);
  if (!grouped) {
    return;
  }
  const opened_model model{state, open};
  if (const auto known = state.slots.find(slot_name(state, model, open.layers));
      known != state.slots.end()) {
    known->second.superseded = true;
  }
  const std::string name =
      fmt::format("{}-group-{}", slot_name(state, model, open.layers), ++state.grouped);
  add_slot(self, name, open.model, open.layers, grouped->keeps, std::move(grouped->segment));
}

void report_load(host_pointer self);
void retire_slots(host_pointer self);

void drop_session(host_pointer self, host_core::session_key key) {
  host_state& state = self->state;
  const host_core::session* const known = state.core.find(key);
  if (known == nullptr) {
    return;
  }
  const auto slot = state.slots.find(known->slot);
  if (slot != state.slots.end()) {
    if (slot->second.shard) {
      self->send(slot->second.shard, to_stage<close_session>{{}, key.first, {}});
    }
    std::erase_if(slot->second.waiting,
                  [&](const order_received& order) { return order.message.request == key.first; });
  }
  state.core.erase(key);
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
  session_model model;
  if (slot.model != open.model) {
    model = opened_model{state, open}.session();
    if (model.id != open.model) {
      return answer(self, order.from, order.message,
                    fail(errc::segment_missing, "the adapter was dropped here meanwhile"));
    }
  }
  self->send(slot.shard, open_session{open, request, order.message.driver, stage_index{0}, lead,
                                      next, std::move(model)});
  const host_core::session* const session = state.core.find({request, open.layers.first});
  if (session != nullptr && session->evidence) {
    self->send(slot.shard,
               to_stage<sign_evidence>{{*session->evidence}, request, order.message.driver});
  }
}

const member* find_member(const host_state& state, const node_id& node) {
  const auto found = std::find_if(state.members->begin(), state.members->end(),
                                  [&](const member& m) { return m.node == node; });
  return found == state.members->end() ? nullptr : &*found;
}

std::uint64_t weight_bytes(const host_state& state) {
  std::uint64_t bytes = 0;
  std::set<const catalog_model*> counted; // a base stays while one with an adapter uses its weights
  for (const auto& model : state.environment.models->all()) {
    for (const catalog_model* one : {model.get(), model->base.get()}) {
      bytes += one != nullptr && counted.insert(one).second ? one->held_bytes : 0;
    }
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

/// That others lead.
group_keeper::load groups_joined(const host_state& state) {
  return state.environment.groups == nullptr ? group_keeper::load{}
                                             : state.environment.groups->count();
}

/// Whether another node than `lead` may drive requests here.
bool has_rivals(const host_state& state, const node_id& lead) {
  return std::any_of(state.members->begin(), state.members->end(), [&](const member& m) {
    return m.node != lead && m.advert.roles.has(role::scheduler) &&
           (m.health == member_health::alive || m.health == member_health::suspect);
  });
}

bool is_gone(host_pointer self, const node_id& node) {
  if (node == self->state.environment.self) {
    return false;
  }
  const member* const known = find_member(self->state, node);
  return known == nullptr || known->health == member_health::dead ||
         known->health == member_health::left;
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

host_core::surroundings around(host_pointer self) {
  return {[self](const node_id& node) { return is_there(self, node); },
          [self](const node_id& node) {
            return node == self->state.environment.self ||
                   self->state.environment.links->connected(node);
          },
          [self](const node_id& node) { return is_gone(self, node); }};
}

host_core::room room_for(const host_state& state, const node_id& lead) {
  const std::uint64_t taken =
      weight_bytes(state) + buffer_bytes(state) + groups_joined(state).bytes;
  return {state.environment.memory_bytes - std::min(taken, state.environment.memory_bytes),
          has_rivals(state, lead)};
}

void open(host_pointer self, order_received order) {
  host_state& state = self->state;
  auto& body = std::get<wire_open>(order.message.body);
  const host_core::session_key key{order.message.request, body.layers.first};
  turn_to_group(self, body);
  const opened_model model{state, body};
  const std::string name = slot_name(state, model, body.layers);
  if (const host_core::session* const known = state.core.find(key)) {
    if (const auto allowed =
            host_core::check_driver(*known, order.from, order.message, around(self));
        !allowed) {
      return answer(self, order.from, order.message, allowed.error());
    }
    if (host_core::begins_anew(*known, order.from, order.message.driver, body.model, name)) {
      drop_session(self, key);
    }
  }
  error refused;
  host_state::slot* const slot = slot_for(self, body, model, refused);
  if (slot == nullptr) {
    return answer(self, order.from, order.message, refused);
  }
  const compute::model_config& config = slot->keeps->weights.config;
  if (const auto right = host_core::check_size(config, body); !right) {
    return answer(self, order.from, order.message, right.error());
  }
  const std::uint64_t bytes = host_core::bytes_of(config, body);
  if (const auto room = state.core.check_room(key, order.from, bytes, room_for(state, order.from));
      !room) {
    return answer(self, order.from, order.message, room.error());
  }
  host_core::note_heard(state.core.admit(key, order.from, order.message.driver, body, name, bytes),
                        around(self));
  if (slot->shard) {
    open_at_shard(self, *slot, order);
  } else if (slot->waiting.size() < limits::requests_active_max) {
    order.bytes.reset(); // it waits for us, not for its sender
    slot->waiting.push_back(std::move(order));
  } else {
    answer(self, order.from, order.message, fail(errc::busy, "a segment is being started"));
  }
}

// What a first stage was told of the request is what it signs for; a later one sees boundaries.
result<void> check_order(const host_state& state, const host_core::session& session,
                         const order_received& order) {
  const evidence_order& asked = std::get<sign_evidence>(order.message.body).order;
  const auto slot = state.slots.find(session.slot);
  if (slot == state.slots.end()) {
    return fail(errc::segment_missing, "the segment that was to sign was given up here");
  }
  signing_facts known{order.message.request, session.model,
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
  host_core::session* const session = state.core.find({m.request, m.stage});
  if (session == nullptr ||
      (session->lead != order.from && !OVIR_MUTANT("host_takes_orders_of_anyone"))) {
    return;
  }
  if (std::holds_alternative<close_session>(m.body)) {
    return drop_session(self, {m.request, m.stage});
  }
  host_core::note_heard(*session, around(self));
  if (const auto* drawn = std::get_if<log_token>(&m.body)) {
    return host_core::keep_drawn(*session, *drawn);
  }
  if (std::holds_alternative<withdraw_log>(m.body)) {
    session->withdrawn = !OVIR_MUTANT("host_adopts_what_was_cancelled");
    return;
  }
  if (const auto* sign = std::get_if<sign_evidence>(&m.body)) {
    if (const auto may = check_order(state, *session, order); !may) {
      return answer(self, order.from, m, may.error());
    }
    session->evidence = sign->order; // also for a shard that is still being started
  }
  if (const auto* names = std::get_if<name_windows>(&m.body);
      names != nullptr &&
      std::uint64_t{names->first} + names->prefixes.size() > session->windows_max) {
    return;
  }
  const auto slot = state.slots.find(session->slot);
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
  for (const auto& [key, session] : self->state.core.sessions()) {
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
      const host_core::session* const session =
          state.core.find({order.message.request, order.message.stage});
      if (session != nullptr && session->lead == order.from &&
          session->driver == order.message.driver) { // else closed while it waited
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

/// Whether a scheduler may hear what a request says: by the nodes that it names, and by its tier.
bool may_be_shown(const request_log& log, const member& m, std::uint64_t now_unix) {
  const auto genuine = [](const attestation& a) { return is_genuine(a); };
  const bool has_tier =
      !log.tier ||
      !lacking(*log.tier, counting(*log.tier, m.node, m.advert.attested, now_unix, genuine));
  return has_tier && (!log.ends || is_named(*log.ends, m.node));
}

// Schedulers in turn, so that one that cannot does not hold up the request.
void ask_to_adopt(host_pointer self, request_id request, host_core::session& session) {
  host_state& state = self->state;
  std::vector<node_id> able;
  for (const member& m : *state.members) {
    if (m.advert.roles.has(role::scheduler) && !m.advert.draining && m.node != session.lead &&
        m.health == member_health::alive &&
        (m.node == state.environment.self || state.environment.links->reachable(m.node)) &&
        may_be_shown(*session.log, m, state.environment.env->unix_seconds())) {
      able.push_back(m.node);
    }
  }
  if (able.empty() || OVIR_MUTANT("host_asks_nobody_to_adopt")) {
    return;
  }
  const node_id chosen = able[(request.value + session.asked++) % able.size()];
  state.environment.journal->say(log_level::info, request, "asks {} to go on for {}",
                                 short_name(chosen), short_name(session.lead));
  state.environment.links->send_wire(chosen, {request, {}, 0, wire_adopt{*session.log}});
}

void tell_failed(host_pointer self, const host_core::session_key& key, error reason) {
  const host_core::session& session = *self->state.core.find(key);
  self->state.environment.links->send_wire(
      session.lead, {key.first, session.driver, key.second, stage_failed{std::move(reason)}});
}

void link_lost(host_pointer self, const node_id& node) {
  for (const host_core::session_key& key : self->state.core.link_lost(node)) {
    tell_failed(self, key, fail(errc::peer_lost, "the link to {} was lost", short_name(node)));
  }
}

void tick(host_pointer self) {
  host_state& state = self->state;
  const host_core::tick_result news = state.core.tick(around(self));
  for (const host_core::session_key& key : news.orphans) {
    ask_to_adopt(self, key.first, *state.core.find(key));
  }
  for (const host_core::session_key& key : news.forgotten) {
    tell_failed(self, key, {errc::peer_lost, "the link was lost and the stage not asked since"});
  }
  for (const host_core::session_key& key : news.cut_off) {
    tell_failed(self, key,
                fail(errc::busy, "has had no link to {}, which computes the next layers",
                     short_name(state.core.find(key)->next)));
  }
  for (const host_core::session_key& key : news.expired) {
    drop_session(self, key);
  }
  retire_slots(self);
  if (state.environment.groups != nullptr) {
    state.environment.groups->look(*state.members, self->clock().now());
  }
  report_load(self);
  self->delayed_send(self, host_tick_interval, host_tick{});
}

/// Ends the stages of weights that were dropped, or are held in another part now, once no request
/// uses them: until then their memory is taken.
void retire_slots(host_pointer self) {
  host_state& state = self->state;
  for (auto slot = state.slots.begin(); slot != state.slots.end();) {
    const auto& name = slot->first;
    const auto& s = slot->second;
    const bool used = std::any_of(state.core.sessions().begin(), state.core.sessions().end(),
                                  [&](const auto& entry) { return entry.second.slot == name; });
    if (used || !s.supervisor || !s.waiting.empty() ||
        (!s.superseded && state.environment.models->find(s.model, s.layers) == s.keeps)) {
      ++slot;
      continue;
    }
    ++state.retired;
    slot = state.slots.erase(slot);
  }
}

void report_load(host_pointer self) {
  host_state& state = self->state;
  const group_keeper::load groups = groups_joined(state);
  const std::uint64_t used = weight_bytes(state) + state.core.bytes() + groups.bytes;
  const std::uint64_t all = state.environment.memory_bytes;
  const node_speeds speeds = state.meter->speeds();
  state.environment.report(
      {static_cast<std::uint32_t>(state.core.sessions().size() +
                                  limits::group_load * groups.joined),
       all > used ? all - used : 0,
       static_cast<std::uint64_t>(speeds.decode_bytes_per_second.value_or(0)),
       static_cast<std::uint64_t>(speeds.prefill_bytes_per_second.value_or(0))});
}

host_report describe(const host_state& state) {
  host_report report;
  report.sessions = static_cast<std::uint32_t>(state.core.sessions().size());
  report.session_bytes = state.core.bytes();
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
  self->delayed_send(self, host_tick_interval, host_tick{});
  return {
      [self](order_received& order) {
        if (std::holds_alternative<wire_open>(order.message.body)) {
          open(self, std::move(order));
        } else if (const auto* load = std::get_if<wire_load>(&order.message.body)) {
          take_load(self, order.from, order.message.request, *load);
        } else if (const auto* drop = std::get_if<wire_unload>(&order.message.body)) {
          take_drop(self, order.from, *drop);
        } else {
          take_order(self, order);
        }
      },
      [self](const host_load_ended& end) { load_ended(self, end); },
      [self](const host_drop_ended& end) { drop_ended(self, end); },
      [self](const host_slot_started& news) {
        if (const auto slot = self->state.slots.find(news.name); slot != self->state.slots.end()) {
          slot->second.supervisor = owned_actor{news.supervisor};
        }
      },
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
