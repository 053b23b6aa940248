#include "actors/pathfinder.hpp"

#include "actors/path_loads.hpp"
#include "actors/path_repair.hpp"
#include "actors/twin_runs.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using place = pathfinder_state::place;
using watched = pathfinder_state::watched;

constexpr std::chrono::milliseconds tick_interval = paths_tick_interval;
/// Ticks for which a node is not asked again after it refused, was slow, or lacked the segment.
constexpr std::uint32_t avoid_busy = 10;
constexpr std::uint32_t avoid_slow = 100;
constexpr std::uint32_t avoid_missing = 300;
/// Weight bytes per second of a machine that has not measured itself.
constexpr double unmeasured_decode = 8e9;
constexpr double unmeasured_prefill = 40e9;
/// Members say nothing of their bandwidth; this only ranks paths with much traffic below others.
constexpr double assumed_bandwidth = 125e6;

/// A member that could compute stages of a model: one for each range of layers it holds.
struct candidate {
  const member* who{nullptr};
  layer_range held;
  bool usable{false};
  std::uint64_t memory{0}; ///< its share of what the member has free
  double trust{1};         ///< its speed counts as so many times what it measured
  double price{1};         ///< and as so many times less
};

double measured(std::uint64_t bytes_per_second, double otherwise) {
  return bytes_per_second > 0 ? static_cast<double>(bytes_per_second) : otherwise;
}

bool is_on(const watched& request, const node_id& node) {
  return std::any_of(request.path.begin(), request.path.end(),
                     [&](const place& p) { return p.node == node; });
}

/// What a node asks, relative to the model's rate; 1 where nobody pays.
double price_of(const pathfinder_environment& around, const node_advert& advert) {
  return around.pays ? static_cast<double>(advert.ask_ppm) / static_cast<double>(limits::ppm_one)
                     : 1.0;
}

std::vector<candidate> candidates_for(const pathfinder_state& state, const digest& model,
                                      const watched* request, const watched* apart_from = nullptr) {
  std::vector<candidate> list;
  for (const member& m : *state.members) {
    const auto of_model = [&](const held_segment& h) { return h.model == model; };
    const auto parts = static_cast<std::size_t>(
        std::count_if(m.advert.held.begin(), m.advert.held.end(), of_model));
    if (parts == 0 || list.size() + parts > limits::plan_nodes_max) {
      continue;
    }
    const bool self = m.node == state.environment.self;
    const bool on_path =
        request != nullptr && std::any_of(request->path.begin(), request->path.end(),
                                          [&](const place& p) { return p.node == m.node; });
    const bool avoided =
        request != nullptr &&
        (request->avoid.contains(m.node) || (apart_from != nullptr && is_on(*apart_from, m.node)));
    const bool usable =
        m.health == member_health::alive && (self || state.environment.links->connected(m.node)) &&
        m.advert.roles.has(role::worker) && !avoided && (!m.advert.draining || on_path) &&
        (!state.environment.pays || m.advert.ask_ppm <= state.environment.ask_max_ppm);
    for (const held_segment& held : m.advert.held) {
      if (of_model(held)) {
        list.push_back({&m, held.layers, usable, m.advert.memory_free / parts,
                        state.trusted.trust(m.node), price_of(state.environment, m.advert)});
      }
    }
  }
  return list;
}

plan_request plan_for(const catalog_model& model, const std::vector<candidate>& nodes,
                      const node_id& self, std::uint32_t positions) {
  plan_request wanted;
  wanted.shape = shape_of(model.weights, model.prefill_chunk);
  wanted.context = std::max(positions, 1U);
  for (const candidate& c : nodes) {
    if (!c.usable) {
      continue;
    }
    const node_advert& advert = c.who->advert;
    if (c.who->node == self) {
      wanted.lead = static_cast<std::uint32_t>(wanted.nodes.size());
    }
    plan_node node;
    node.name = advert.name + "/" + short_name(c.who->node);
    node.holds = c.held;
    node.loaded = true;
    node.memory = std::max<std::uint64_t>(c.memory, 1);
    // Requests share a machine; one that computes for others is slower for this one.
    const double share = c.trust / c.price / (1.0 + advert.sessions);
    node.decode_bytes_per_second =
        share * measured(advert.decode_bytes_per_second, unmeasured_decode);
    node.prefill_bytes_per_second =
        share * measured(advert.prefill_bytes_per_second, unmeasured_prefill);
    node.rtt_seconds = c.who->rtt ? std::chrono::duration<double>(*c.who->rtt).count() : 0;
    node.bandwidth_bytes_per_second = assumed_bandwidth;
    wanted.nodes.push_back(std::move(node));
  }
  return wanted;
}

std::vector<candidate> usable_only(const std::vector<candidate>& nodes) {
  std::vector<candidate> usable;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(usable),
               [](const candidate& c) { return c.usable; });
  return usable;
}

/// A plan, and whom its stages' numbers mean.
struct chosen_path {
  plan planned;
  std::vector<candidate> among;
};

result<chosen_path> plan_among(const pathfinder_state& state, const catalog_model& model,
                               const std::vector<candidate>& nodes, std::uint32_t positions) {
  std::vector<candidate> usable = usable_only(nodes);
  if (usable.empty()) {
    return fail(errc::segment_missing, "no node that is there holds layers of model {} ({})",
                to_hex(model.id).substr(0, 8), model.name);
  }
  OVIR_ASSIGN(plan planned, make_plan(plan_for(model, nodes, state.environment.self, positions)));
  return chosen_path{std::move(planned), std::move(usable)};
}

/// Around those who lack admission; with them where there is no other way, for the keeper of the
/// ledger then says what is to be waited for.
result<chosen_path> plan_best(const pathfinder_state& state, const catalog_model& model,
                              const std::vector<candidate>& nodes, std::uint32_t positions) {
  if (!state.lacking_admission.empty()) {
    std::vector<candidate> admitted = nodes;
    for (candidate& c : admitted) {
      c.usable = c.usable && !state.lacking_admission.contains(c.who->node);
    }
    if (auto found = plan_among(state, model, admitted, positions)) {
      return found;
    }
  }
  return plan_among(state, model, nodes, positions);
}

result<layer_places> plan_path(const pathfinder_state& state, const catalog_model& model,
                               const std::vector<candidate>& nodes, std::uint32_t positions) {
  OVIR_ASSIGN(const chosen_path best, plan_best(state, model, nodes, positions));
  layer_places path;
  for (const plan_stage& stage : best.planned.stages) {
    path.emplace_back(best.among[stage.node].who->node, stage.layers);
  }
  return path;
}

/// The planner was told of speeds divided by prices; what it says of times is to be true again.
void take_out_prices(chosen_path& best) {
  plan_speed& speed = best.planned.speed;
  bool priced = false;
  for (plan_stage& stage : best.planned.stages) {
    const double price = best.among[stage.node].price;
    priced = priced || price != 1;
    speed.token_seconds -= stage.decode_seconds * (1 - 1 / price);
    stage.decode_seconds /= price;
  }
  if (priced && speed.token_seconds > 0) {
    speed.tokens_per_second = 1 / speed.token_seconds;
  }
}

// Keeps what works, of a request without a path yet what it would rather have; absent when that is
// impossible or there is nothing to keep.
std::optional<layer_places> mend_path(const catalog_model& model,
                                      const std::vector<candidate>& nodes, const watched& request) {
  std::vector<path_place> before;
  std::vector<repair_node> able;
  for (const candidate& c : nodes) {
    const node_advert& advert = c.who->advert;
    able.push_back(
        {c.usable, c.held, c.memory,
         c.trust / c.price * measured(advert.decode_bytes_per_second, unmeasured_decode) /
             (1.0 + advert.sessions),
         c.who->rtt ? std::chrono::duration<double>(*c.who->rtt).count() : 0});
  }
  layer_places wanted = request.path.empty() ? request.preferred : layer_places{};
  for (const place& p : request.path) {
    wanted.emplace_back(p.node, p.layers);
  }
  for (const auto& [node, layers] : wanted) {
    const auto found =
        std::find_if(nodes.begin(), nodes.end(), [&, node = node, layers = layers](const auto& c) {
          return c.who->node == node && c.held.first <= layers.first && layers.last <= c.held.last;
        });
    if (found == nodes.end()) {
      able.push_back({}); // gone and forgotten
      before.push_back({static_cast<std::uint32_t>(able.size() - 1), layers});
    } else {
      before.push_back({static_cast<std::uint32_t>(found - nodes.begin()), layers});
    }
  }
  const model_shape shape = shape_of(model.weights, model.prefill_chunk);
  std::vector<repair_layer> layers;
  for (const std::uint64_t weights : shape.layer_weights) {
    layers.push_back({shape.kv_per_position * request.positions, weights});
  }
  const auto mended = before.empty() ? std::nullopt : repair_path(before, able, layers);
  if (!mended) {
    return std::nullopt;
  }
  layer_places path;
  for (const path_place& p : *mended) {
    path.emplace_back(nodes[p.node].who->node, p.layers);
  }
  return path;
}

// Closes stages the request was led to before and is not now. A lead closes those it still has a
// proxy of; a proxy is ended for a node that is slow to answer or refuses, too, which keeps what it
// has. Nodes without a link forget by themselves (limits::session_doubt).
void close_left(const pathfinder_state& state, request_id id, watched& request) {
  std::erase_if(request.opened, [&](const std::pair<node_id, layer_index>& stage) {
    const bool used = std::any_of(request.path.begin(), request.path.end(), [&](const place& p) {
      return p.node == stage.first && p.layers.first == stage.second;
    });
    if (!used) {
      state.environment.links->send_wire(stage.first, {id, {}, stage.second, wire_close{}});
    }
    return !used;
  });
}

// Hands the lead its path: proxies that stand for the same stage as before stay the same.
void install(pathfinder_pointer self, request_id id, watched& request, const layer_places& path) {
  const pathfinder_environment& around = self->state.environment;
  std::vector<place> fresh;
  std::vector<std::pair<node_id, layer_index>> route;
  path_found news;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto& [node, layers] = path[i];
    const node_id previous = i == 0 ? around.self : path[i - 1].first;
    next_hop next;
    next.lead = i + 1 == path.size();
    if (!next.lead) {
      next.node = path[i + 1].first;
      next.layers = path[i + 1].second;
    }
    const auto kept = std::find_if(request.path.begin(), request.path.end(),
                                   [&, node = node, layers = layers](const place& p) {
                                     return p.node == node && p.layers == layers && p.proxy;
                                   });
    shard_actor proxy;
    if (kept != request.path.end()) {
      proxy = kept->proxy;
      reroute(proxy, previous, next);
    } else {
      proxy = make_remote_stage(self->system(), *around.links,
                                {id, request.model, node, layers, previous, next});
    }
    fresh.push_back({node, layers, proxy});
    route.emplace_back(node, layers.first);
    news.stages.push_back({proxy, node, layers});
  }
  std::string shown;
  for (const place& p : fresh) {
    shown += fmt::format(" {}:{}-{}", short_name(p.node), p.layers.first, p.layers.last - 1);
  }
  around.journal->say(log_level::info, id, "path{}", shown);
  request.path = std::move(fresh);
  close_left(self->state, id, request);
  request.opened.insert(route.begin(), route.end());
  request.broken = false;
  request.told_missing = false;
  request.lacking.reset();
  request.load_told.clear();
  around.links->route_lead(id, request.lead, std::move(route));
  self->send(request.lead, std::move(news));
}

bool same_path(const watched& request, const layer_places& path) {
  return std::equal(request.path.begin(), request.path.end(), path.begin(), path.end(),
                    [](const place& p, const auto& q) {
                      return p.node == q.first && p.layers == q.second && p.proxy;
                    });
}

// While no node is avoided and no path is missing, nothing here waits for time to pass.
void keep_ticking(pathfinder_pointer self) {
  if (!std::exchange(self->state.ticking, true)) {
    self->delayed_send(self, tick_interval, paths_tick{});
  }
}

// Looks for a path and hands it over; with `only_if_other`, not when it is the one there is.
void look(pathfinder_pointer self, request_id id, bool only_if_other) {
  pathfinder_state& state = self->state;
  watched& request = state.requests.at(id);
  const auto model = state.environment.models->find(request.model);
  if (!model) {
    self->send(request.lead,
               path_lost{{errc::not_found, "this scheduler does not know the model"}});
    return;
  }
  // Two runs of one request have no node in common.
  const auto twin = state.requests.find(twin_of(id));
  const auto nodes = candidates_for(state, request.model, &request,
                                    twin == state.requests.end() ? nullptr : &twin->second);
  result<layer_places> path{error{}};
  if (auto mended = mend_path(*model, nodes, request)) {
    path = std::move(*mended);
  } else {
    path = plan_path(state, *model, nodes, request.positions);
  }
  if (!path) {
    if (!request.lacking) {
      request.lacking = state.ticks;
      keep_ticking(self);
    }
    if (!only_if_other && !request.told_missing) {
      request.told_missing = true;
      state.environment.journal->say(log_level::warn, id, "has no path: {}", path.error().message);
      self->send(request.lead, path_missing{path.error()});
    }
    return;
  }
  if (only_if_other && same_path(request, *path)) {
    return;
  }
  install(self, id, request, *path);
}

void watch(pathfinder_pointer self, const watch_path& command) {
  watched request;
  request.model = command.model;
  request.positions = command.positions;
  request.lead = command.lead;
  request.preferred = command.preferred;
  self->monitor(command.lead);
  watched& known = self->state.requests[command.request];
  request.opened = std::move(known.opened); // of an earlier lead
  known = std::move(request);
  look(self, command.request, false);
}

void lead_down(pathfinder_pointer self, const caf::down_msg& message) {
  auto& requests = self->state.requests;
  for (auto it = requests.begin(); it != requests.end();) {
    if (it->second.lead.address() == message.source) {
      // A lead that crashed could not say so itself.
      it->second.path.clear();
      close_left(self->state, it->first, it->second);
      self->state.environment.links->drop_lead(it->first);
      it = requests.erase(it);
    } else {
      ++it;
    }
  }
}

void avoid(pathfinder_pointer self, pathfinder_state::watched& request, const node_id& node,
           std::uint32_t ticks) {
  request.avoid[node] = self->state.ticks + ticks;
  keep_ticking(self);
}

void trouble(pathfinder_pointer self, const path_trouble& news) {
  pathfinder_state& state = self->state;
  const auto found = state.requests.find(news.request);
  if (found == state.requests.end()) {
    return;
  }
  watched& request = found->second;
  const auto where = std::find_if(request.path.begin(), request.path.end(),
                                  [&](const place& p) { return p.proxy == news.stage; });
  if (where == request.path.end()) {
    return; // of a path that was left already
  }
  state.environment.journal->say(log_level::info, news.request, "trouble with {}: {}",
                                 short_name(where->node), news.reason.message);
  switch (news.reason.code) {
  case errc::timed_out:
    avoid(self, request, where->node, avoid_slow);
    look(self, news.request, true);
    if (!request.broken) {
      // It was the only one, or it is left now: either way it need not be shunned by this request.
      std::erase_if(request.avoid, [&](const auto& entry) {
        return std::any_of(request.path.begin(), request.path.end(),
                           [&](const place& p) { return p.node == entry.first; });
      });
    }
    return;
  case errc::busy:
  case errc::segment_missing:
    avoid(self, request, where->node, news.reason.code == errc::busy ? avoid_busy : avoid_missing);
    break;
  default: break;
  }
  end_proxy(caf::actor_cast<caf::actor>(where->proxy), news.reason);
  where->proxy = nullptr;
  request.broken = true;
  look(self, news.request, false);
}

// Ends the proxies of a node that is gone, so that leads hear of it, and mends their paths.
void node_gone(pathfinder_pointer self, const node_id& node, const error& reason) {
  pathfinder_state& state = self->state;
  std::vector<request_id> hurt;
  for (auto& [id, request] : state.requests) {
    for (place& p : request.path) {
      if (p.node == node && p.proxy) {
        end_proxy(caf::actor_cast<caf::actor>(p.proxy), reason);
        p.proxy = nullptr;
        request.broken = true;
      }
    }
    if (request.broken) {
      hurt.push_back(id);
    }
  }
  for (const request_id id : hurt) {
    look(self, id, false);
  }
}

void mend_all(pathfinder_pointer self) {
  std::vector<request_id> broken;
  for (const auto& [id, request] : self->state.requests) {
    if (request.broken) {
      broken.push_back(id);
    }
  }
  for (const request_id id : broken) {
    look(self, id, false);
  }
}

void members_are(pathfinder_pointer self, const members_changed& news) {
  pathfinder_state& state = self->state;
  state.members = news.members;
  for (const member& m : *news.members) {
    if (m.health != member_health::alive) {
      state.trusted.forget(m.node);
      node_gone(self, m.node,
                {errc::peer_lost, fmt::format("{} does not answer", short_name(m.node))});
    }
  }
  mend_all(self);
}

void tick(pathfinder_pointer self) {
  pathfinder_state& state = self->state;
  ++state.ticks;
  state.ticking = false;
  bool retry = false;
  bool avoiding = false;
  bool lacking = false;
  for (auto& [id, request] : state.requests) {
    const auto gone = std::erase_if(request.avoid,
                                    [&](const auto& entry) { return entry.second <= state.ticks; });
    retry = retry || (gone > 0 && request.broken);
    avoiding = avoiding || !request.avoid.empty();
    lacking = lacking || request.lacking;
  }
  if (retry) {
    mend_all(self);
  }
  if (lacking) {
    order_loads(self);
  }
  if (avoiding || lacking) {
    keep_ticking(self);
  }
}

path_description describe(pathfinder_pointer self, const describe_path& wanted) {
  pathfinder_state& state = self->state;
  path_description answer;
  const auto model = state.environment.models->find(wanted.model);
  if (!model) {
    answer.planned = fail(errc::not_found, "this node does not know model {}",
                          to_hex(wanted.model).substr(0, 8));
    return answer;
  }
  const auto nodes = candidates_for(state, wanted.model, nullptr);
  auto best =
      plan_best(state, *model, nodes, wanted.positions == 0 ? model->context : wanted.positions);
  if (!best) {
    answer.planned = best.error();
    return answer;
  }
  take_out_prices(*best);
  for (const plan_stage& stage : best->planned.stages) {
    const member& who = *best->among[stage.node].who;
    answer.stages.push_back({who.node, who.advert.name, stage, who.advert.ask_ppm});
  }
  answer.planned = std::move(best->planned);
  return answer;
}

request_location locate(const pathfinder_state& state, request_id id) {
  request_location where;
  const auto found = state.requests.find(id);
  if (found != state.requests.end()) {
    for (const place& p : found->second.path) {
      where.stages.emplace_back(p.node, p.layers);
    }
  }
  return where;
}

/// Whatever came after a convicted stage is wrong wherever it is kept: the request begins again.
void convicted(pathfinder_pointer self, const node_convicted& news) {
  self->state.trusted.forget(news.node);
  for (auto& [id, request] : self->state.requests) {
    const bool had_part = std::any_of(request.path.begin(), request.path.end(),
                                      [&](const place& p) { return p.node == news.node; }) ||
                          std::any_of(request.opened.begin(), request.opened.end(),
                                      [&](const auto& stage) { return stage.first == news.node; });
    if (had_part) {
      self->send(request.lead, path_lost{{errc::digest_mismatch,
                                          fmt::format("computed with a node that was convicted: {}",
                                                      news.what)}});
    }
  }
}

} // namespace

pathfinder_actor::behavior_type pathfinder_behavior(pathfinder_pointer self,
                                                    pathfinder_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.members = std::make_shared<const std::vector<member>>();
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  return {
      [self](const watch_path& command) { watch(self, command); },
      [self](const path_trouble& news) { trouble(self, news); },
      [self](const members_changed& news) { members_are(self, news); },
      [self](const link_changed& link) {
        if (link.up) {
          mend_all(self);
        } else {
          node_gone(self, link.node, {errc::peer_lost, link.reason});
        }
      },
      [self](const paths_tick&) { tick(self); },
      [self](const node_convicted& news) { convicted(self, news); },
      [self](const standing_told& news) {
        self->state.trusted.tell(news.verifier, news.reputation_ppm);
      },
      [self](const load_failed& news) { load_refused(self, news); },
      [self](const admission_told& news) { self->state.lacking_admission = news.lacking; },
      [self](const describe_path& wanted) { return describe(self, wanted); },
      [self](const locate_request& wanted) { return locate(self->state, wanted.request); },
  };
}

} // namespace ovir::actors
