#include "actors/path/pathfinder_actor.hpp"

#include "actors/path/path_loads_actor.hpp"
#include "actors/path/path_plans_actor.hpp"
#include "actors/path/path_speeds_actor.hpp"
#include "actors/path/private_ends.hpp"
#include "actors/path/twin_runs.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/check.hpp"
#include "messages/limits/paths.hpp"
#include "messages/mutant.hpp"

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
constexpr std::uint32_t avoid_fault = 600;

// Closes stages the request was led to before and is not now. A lead closes those it still has a
// proxy of; a proxy is ended for a node that is slow to answer or refuses, too, which keeps what it
// has. Nodes without a link forget by themselves (limits::session_doubt).
void close_left(const pathfinder_state& state, request_id id, watched& request) {
  if (OVIR_MUTANT("path_closes_nothing")) {
    return;
  }
  std::erase_if(request.opened, [&](const std::pair<node_id, layer_index>& stage) {
    const bool used = std::any_of(request.path.begin(), request.path.end(), [&](const place& p) {
      return p.node == stage.first && p.layers.first == stage.second;
    });
    if (!used) {
      state.environment.links->send_wire(stage.first, {id, {}, stage.second, close_session{}});
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
      if (request.stages_made.size() < limits::hosts_per_request_max) {
        request.stages_made.emplace_back(proxy, node);
      }
    }
    fresh.push_back({node, layers, proxy});
    route.emplace_back(node, layers.first);
    news.stages.push_back({proxy, node, layers});
    add_attested(self->state, request, node, news.attested);
  }
  std::string shown;
  for (const place& p : fresh) {
    shown += fmt::format(" {}:{}-{}", short_name(p.node), p.layers.first, p.layers.last - 1);
  }
  around.journal->say(log_level::info, id, "path{}", shown);
  const std::vector<place> before = std::exchange(request.path, std::move(fresh));
  request.on_ways = ways_on(self->state, path);
  renew_forecasts(self->state, before, &request, self->clock().now());
  renew_forecasts(self->state, request.path, &request, self->clock().now());
  close_left(self->state, id, request);
  request.opened.insert(route.begin(), route.end());
  for (const auto& [node, layers] : path) {
    request.led_to.insert(node);
    request.had_strangers = request.had_strangers || around.links->is_stranger(node);
  }
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

/// The other run, of a request that runs twice: they have no node in common.
const watched* twin_beside(const pathfinder_state& state, request_id id, const watched& request) {
  const auto twin = state.requests.find(twin_of(id));
  return request.twin == twin_rule::alone || twin == state.requests.end() ? nullptr : &twin->second;
}

error no_two_paths(const catalog_model& model, const error& why) {
  return fail(errc::segment_missing,
              "a token is to be told only after two paths without a common node computed it, and "
              "there are no two of {}: {}; let more nodes hold its layers, or ask with reveal "
              "at_once",
              model.name, why.message);
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
  const watched* const twin = twin_beside(state, id, request);
  const auto now = self->clock().now();
  const auto find = [&]() -> result<layer_places> {
    const path_terms terms = terms_of(state, *model, request.positions);
    auto best = best_path(state, terms, request, now, twin);
    const bool first = request.twin != twin_rule::alone && request.led_to.empty() &&
                       (twin == nullptr || twin->led_to.empty());
    return best && first ? path_beside_twin(state, terms, request, std::move(*best), now) : best;
  };
  result<layer_places> path = find();
  if (path && !request.in_a_hurry && request.allowed.count() > 0 &&
      forecast_of(state, *model, *path, request, now).token * limits::hurry_factor >
          request.allowed) {
    request.in_a_hurry = true;
    path = find();
  }
  request.lacks_allowed = false;
  if (!path) {
    if (auto lacking =
            lacking_allowed_of(state, terms_of(state, *model, request.positions), request, now)) {
      request.lacks_allowed = true;
      path = *std::move(lacking);
    } else if (request.twin != twin_rule::alone) {
      path = no_two_paths(*model, path.error());
    }
    request.missing = path.error();
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
  if (state.environment.forecasts != nullptr) {
    state.environment.forecasts->tell(id, forecast_of(state, *model, *path, request, now));
  }
  OVIR_CHECK(!request.ends || keeps_ends(*request.ends, *path), id.value);
  install(self, id, request, *path);
}

void watch(pathfinder_pointer self, const watch_path& command) {
  watched request;
  request.model = command.model;
  request.positions = command.positions;
  request.lead = command.lead;
  request.preferred = command.preferred;
  request.allowed = command.allowed;
  request.twin = command.twin;
  request.ends = command.ends;
  request.tier = command.tier;
  if (request.tier) { // what its nodes are attested ends
    keep_ticking(self);
  }
  self->monitor(command.lead);
  watched& known = self->state.requests[command.request];
  request.opened = std::move(known.opened); // of an earlier lead
  known = std::move(request);
  if (self->state.environment.asked) {
    self->state.environment.asked(command.model);
  }
  look(self, command.request, false);
}

void lead_down(pathfinder_pointer self, const caf::down_msg& message) {
  auto& requests = self->state.requests;
  for (auto it = requests.begin(); it != requests.end();) {
    if (it->second.lead.address() == message.source) {
      // A lead that crashed could not say so itself.
      const std::vector<place> left = std::exchange(it->second.path, {});
      renew_forecasts(self->state, left, &it->second, self->clock().now());
      close_left(self->state, it->first, it->second);
      self->state.environment.links->drop_lead(it->first);
      if (self->state.environment.forecasts != nullptr) {
        self->state.environment.forecasts->forget(it->first);
      }
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

bool is_on(const watched& request, const node_id& node) {
  return std::any_of(request.path.begin(), request.path.end(),
                     [&](const place& p) { return p.node == node; });
}

/// Another node may have caused it: whoever fed the stage, or whoever stated something before.
bool is_doubtful(errc code) { return code == errc::nonfinite || code == errc::digest_mismatch; }

/// Two others agree that what a stage stated, which was left since, is wrong.
void trouble_before(pathfinder_pointer self, watched& request, const path_trouble& news) {
  const auto known = std::find_if(request.stages_made.begin(), request.stages_made.end(),
                                  [&](const auto& one) { return one.first == news.stage; });
  if (news.reason.code == errc::digest_mismatch && known != request.stages_made.end()) {
    self->state.environment.journal->say(log_level::warn, news.request, "trouble with {}: {}",
                                         short_name(known->second), news.reason.message);
    self->state.faults.note(known->second, limits::fault_weight, self->clock().now());
    avoid(self, request, known->second, avoid_fault);
  }
}

/// Schedulers that began at the same moment try again at different ones.
std::uint32_t avoid_overtaken(const pathfinder_state& state, request_id id) {
  std::uint64_t mixed = id.value + state.ticks;
  for (const std::uint8_t byte : state.environment.self.key) {
    mixed = (mixed ^ byte) * 0x100'0000'01B3;
  }
  return avoid_busy + static_cast<std::uint32_t>(mixed >> 40U) % (2 * avoid_busy);
}

/// Two schedulers that drive one request must not wait for the stages that the other has: one
/// without a path leaves all of its own.
void make_way(const pathfinder_state& state, request_id id, watched& request) {
  for (const place& p : request.path) {
    if (p.proxy) {
      end_proxy(caf::actor_cast<caf::actor>(p.proxy),
                {errc::peer_lost, "another scheduler drives the request at this moment"});
    }
  }
  request.path.clear();
  close_left(state, id, request);
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
  if (where == request.path.end()) { // of a path that was left already
    return trouble_before(self, request, news);
  }
  state.environment.journal->say(log_level::info, news.request, "trouble with {}: {}",
                                 short_name(where->node), news.reason.message);
  const node_id node = where->node;
  request.wary = request.wary || state.environment.links->is_stranger(node);
  const auto held_against = [&](std::uint32_t weight) {
    state.faults.note(node, weight, self->clock().now());
  };
  switch (news.reason.code) {
  case errc::timed_out:
    avoid(self, request, node, avoid_slow);
    look(self, news.request, true);
    if (!is_on(request, node)) { // there was a better one
      held_against(limits::doubt_weight);
      state.reputation.note_late(node, self->clock().now());
    }
    if (!request.broken) {
      // It was the only one, or it is left now: either way it need not be shunned by this request.
      std::erase_if(request.avoid, [&](const auto& entry) {
        return std::any_of(request.path.begin(), request.path.end(),
                           [&](const place& p) { return p.node == entry.first; });
      });
    }
    return;
  case errc::peer_lost: break;
  case errc::busy: avoid(self, request, node, avoid_busy); break;
  case errc::segment_missing:
    avoid(self, request, node, avoid_missing);
    held_against(limits::doubt_weight);
    break;
  case errc::superseded: // by a scheduler that is done, or gone, in a moment
    avoid(self, request, node, avoid_overtaken(state, news.request));
    if (state.faults.level(node, self->clock().now()) == 0) { // it may well be so, and stay so
      held_against(limits::doubt_weight);
    }
    break;
  default:
    std::erase_if(request.stages_made, [&](const auto& one) { return one.first == news.stage; });
    avoid(self, request, node, avoid_fault);
    held_against(is_doubtful(news.reason.code) ? limits::doubt_weight : limits::fault_weight);
    break;
  }
  end_proxy(caf::actor_cast<caf::actor>(where->proxy), news.reason);
  where->proxy = nullptr;
  request.broken = true;
  look(self, news.request, false);
  if (news.reason.code == errc::superseded && request.broken) {
    make_way(state, news.request, request);
  }
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
        request.wary = request.wary || state.environment.links->is_stranger(node);
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

// Leaves the nodes of requests that are no longer attested what these demand.
void leave_unattested(pathfinder_pointer self) {
  pathfinder_state& state = self->state;
  std::vector<request_id> hurt;
  for (auto& [id, request] : state.requests) {
    bool left = false;
    for (place& p : request.path) {
      const member* const m = request.tier && p.proxy ? state.holders.find(p.node) : nullptr;
      if (m != nullptr && !has_tier(state, *m, &request)) {
        const error reason{errc::peer_lost, fmt::format("{} is no longer attested what is demanded",
                                                        short_name(p.node))};
        state.environment.journal->say(log_level::info, id, "{}", reason.message);
        end_proxy(caf::actor_cast<caf::actor>(p.proxy), reason);
        p.proxy = nullptr;
        request.broken = left = true;
      }
    }
    if (left) {
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
  for (const node_id& node : state.holders.update(news.members)) {
    state.trusted.forget(node);
    node_gone(self, node, {errc::peer_lost, fmt::format("{} does not answer", short_name(node))});
  }
  state.reputation.note_there(
      [&](const node_id& node) {
        const member* const m = state.holders.find(node);
        return m != nullptr && m->health == member_health::alive;
      },
      self->clock().now());
  leave_unattested(self);
  mend_all(self);
}

/// One of two runs that was to be refused had time enough for nodes that just come or go.
void refuse_without_two_paths(pathfinder_pointer self, watched& request) {
  constexpr auto patience = static_cast<std::uint32_t>(limits::two_paths_wait / tick_interval);
  pathfinder_state& state = self->state;
  if (request.twin != twin_rule::refused || !request.led_to.empty() || !request.lacking ||
      state.ticks - *request.lacking < patience) {
    return;
  }
  request.twin = twin_rule::waits; // it is told once
  self->send(request.lead, path_lost{request.missing});
}

/// The same for a request whose ends none of its own nodes holds, or whose tier none has.
void refuse_without_allowed(pathfinder_pointer self, watched& request) {
  constexpr auto patience = static_cast<std::uint32_t>(limits::ends_wait / tick_interval);
  pathfinder_state& state = self->state;
  if (!request.lacks_allowed || !request.led_to.empty() || !request.lacking ||
      state.ticks - *request.lacking < patience) {
    return;
  }
  request.lacks_allowed = false; // it is told once
  self->send(request.lead, path_lost{request.missing});
}

void tick(pathfinder_pointer self) {
  pathfinder_state& state = self->state;
  ++state.ticks;
  state.ticking = false;
  bool retry = false;
  bool avoiding = false;
  bool lacking = false;
  bool tiered = false;
  for (auto& [id, request] : state.requests) {
    const auto gone = std::erase_if(request.avoid,
                                    [&](const auto& entry) { return entry.second <= state.ticks; });
    retry = retry || (gone > 0 && request.broken);
    avoiding = avoiding || !request.avoid.empty();
    lacking = lacking || request.lacking;
    refuse_without_two_paths(self, request);
    refuse_without_allowed(self, request);
    tiered = tiered || request.tier;
  }
  leave_unattested(self);
  if (retry) {
    mend_all(self);
  }
  if (lacking) {
    order_loads(self);
  }
  if (avoiding || lacking || tiered) {
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
  const path_terms terms = terms_of(state, *model, wanted.positions);
  const layer_range all{0, model->weights.config.layers};
  watched asker;
  asker.ends = wanted.ends;
  asker.tier = wanted.tier;
  const watched* const request = wanted.ends || wanted.tier ? &asker : nullptr;
  const auto now = self->clock().now();
  const auto nodes = candidates_for(state, terms, {all}, request, now);
  auto best = wanted.twin == twin_rule::alone
                  ? plan_best(state, terms, nodes)
                  : plan_best(state, terms, with_leave(state, nodes)); // as its run goes
  if (!best && wanted.twin != twin_rule::alone) {
    best = plan_best(state, terms, nodes);
  }
  if (!best) {
    answer.planned = lacking_allowed_of(state, terms, asker, now).value_or(best.error());
    return answer;
  }
  take_out_weights(*best, lead_seconds(state, wanted.model, nullptr));
  for (const plan_stage& stage : best->planned.stages) {
    const member& who = *best->among[stage.node].who;
    answer.stages.push_back(
        {who.node, who.advert.name, stage, who.advert.ask_ppm, who.advert.memory_bytes});
  }
  answer.planned = std::move(best->planned);
  return answer;
}

reputation_description describe_nodes(const pathfinder_state& state,
                                      observed_reputation::time_point now) {
  reputation_description answer;
  for (const reputation_view& seen : state.reputation.list()) {
    auto& shown = answer.nodes.emplace_back();
    shown.seen = seen;
    shown.correctness = state.trusted.trust(seen.node);
    shown.weight = shown.correctness * state.reputation.weight(seen.node, false, now);
    shown.weight_hurried = shown.correctness * state.reputation.weight(seen.node, true, now);
    if (const member* const m = state.holders.find(seen.node)) {
      shown.name = m->advert.name;
      const double word = decode_word(m->advert);
      if (const auto speed = state.speeds.believed(seen.node, word, now)) {
        shown.throughput = state.speeds.slower(*speed, word);
      }
    }
  }
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
  self->state.environment.links->close_leads(); // of an earlier life, which ended with its leads
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  return {
      [self](const watch_path& command) { watch(self, command); },
      [self](const path_trouble& news) { trouble(self, news); },
      [self](const steps_seen& news) { learn_speeds(self->state, news, self->clock().now()); },
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
      [self](const describe_reputation&) {
        return describe_nodes(self->state, self->clock().now());
      },
      [self](const locate_request& wanted) { return locate(self->state, wanted.request); },
  };
}

} // namespace ovir::actors
