#include "actors/path/path_plans_actor.hpp"

#include "actors/path/attested_tiers.hpp"
#include "actors/path/path_speeds_actor.hpp"
#include "actors/path/private_ends.hpp"
#include "messages/limits/paths.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>

namespace ovir::actors {

namespace {

using place = pathfinder_state::place;
using watched = pathfinder_state::watched;

bool is_on(const watched& request, const node_id& node) {
  return std::any_of(request.path.begin(), request.path.end(),
                     [&](const place& p) { return p.node == node; });
}

/// What a node asks, relative to the model's rate; 1 where requests are not paid for.
double price_of(const pathfinder_environment& around, const node_advert& advert) {
  return around.pays ? static_cast<double>(advert.ask_ppm) / static_cast<double>(limits::ppm_one)
                     : 1.0;
}

bool takes_work(const pathfinder_state& state, const member& m, const watched* request,
                const watched* apart_from) {
  const bool self = m.node == state.environment.self;
  const bool avoided = (request != nullptr && request->avoid.contains(m.node)) ||
                       (apart_from != nullptr && apart_from->led_to.contains(m.node));
  const bool on_path = request != nullptr && is_on(*request, m.node);
  return m.health == member_health::alive && !avoided &&
         (self || state.environment.links->reachable(m.node)) && m.advert.roles.has(role::worker) &&
         (!m.advert.draining || on_path) &&
         (!state.environment.pays || m.advert.ask_ppm <= state.environment.ask_max_ppm);
}

/// The same for the pathfinder's own request: it counts the tier, too.
bool may_compute(pathfinder_state& state, const member& m, const watched* request,
                 const watched* apart_from) {
  return takes_work(state, m, request, apart_from) && has_tier(state, m, request);
}

std::uint64_t tier_clock(const pathfinder_state& state) {
  const auto& clock = state.environment.unix_seconds;
  return clock ? clock() : std::numeric_limits<std::uint64_t>::max();
}

layer_range layers_of(const path_terms& wanted) {
  return {0, static_cast<layer_index>(wanted.shape.layer_weights.size())};
}

void add_candidates(const pathfinder_state& state, const layer_holding& holding,
                    std::uint32_t layers, const watched* request, fault_memory::time_point now,
                    std::vector<path_candidate>& to) {
  const member& m = *holding.who;
  const double trust =
      state.trusted.trust(m.node) *
      state.reputation.weight(m.node, request != nullptr && request->in_a_hurry, now);
  for (const layer_range& whole : holding.ranges) {
    const layer_range range = request != nullptr && request->ends
                                  ? allowed_layers(*request->ends, m.node, whole, layers)
                                  : whole;
    if (range.size() == 0) {
      continue;
    }
    path_candidate& one = to.emplace_back(
        path_candidate{&m, range, m.advert.memory_free / holding.ranges.size(), trust,
                       price_of(state.environment, m.advert), state.faults.level(m.node, now)});
    add_seen(one, state.speeds, requests_on(state, m.node, request), now);
  }
}

/// Those of a level, or lower; and those that compute for the request already.
std::vector<path_candidate> up_to(std::uint32_t level, const std::vector<path_candidate>& nodes,
                                  const watched& request) {
  std::vector<path_candidate> some;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(some), [&](const path_candidate& c) {
    return c.faults <= level || is_on(request, c.who->node);
  });
  return some;
}

std::vector<path_candidate> faultless(std::uint32_t level,
                                      const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> some;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(some),
               [&](const path_candidate& c) { return c.faults <= level; });
  return some;
}

std::vector<path_candidate> admitted_only(const pathfinder_state& state,
                                          const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> admitted;
  std::copy_if(
      nodes.begin(), nodes.end(), std::back_inserter(admitted),
      [&](const path_candidate& c) { return !state.lacking_admission.contains(c.who->node); });
  return admitted;
}

bool is_strange(const pathfinder_state& state, const node_id& node) {
  return state.environment.links->is_stranger(node);
}

/// What a request would rather keep: its path, or without one yet what it was told to prefer.
layer_places kept_of(const watched& request) {
  layer_places kept = request.path.empty() ? request.preferred : layer_places{};
  for (const place& p : request.path) {
    kept.emplace_back(p.node, p.layers);
  }
  return kept;
}

/// Who computes for a request.
enum class allowed_nodes : std::uint8_t { any, with_leave };

std::vector<path_candidate> allowed_of(const pathfinder_state& state, allowed_nodes which,
                                       std::vector<path_candidate> nodes) {
  return which == allowed_nodes::any ? nodes : with_leave(state, nodes);
}

/// Looks only at whoever holds what was lost, and has no faults.
std::optional<layer_places> mended_at_once(pathfinder_state& state, const path_terms& wanted,
                                           const watched& request, fault_memory::time_point now,
                                           const watched* apart_from, allowed_nodes which) {
  const layer_places kept = kept_of(request);
  std::map<node_id, layer_holding> on_path;
  for (const auto& [node, layers] : kept) {
    on_path[node] = state.holders.holding(wanted.model, layers_of(wanted).last, node);
  }
  std::vector<path_candidate> nodes;
  for (const auto& [node, holding] : on_path) {
    if (holding.who != nullptr && may_compute(state, *holding.who, &request, apart_from)) {
      add_candidates(state, holding, layers_of(wanted).last, &request, now, nodes);
    }
  }
  const std::vector<layer_range> lost = lost_layers(nodes, kept);
  for (const path_candidate& c : candidates_for(state, wanted, lost, &request, now, apart_from)) {
    if (!on_path.contains(c.who->node)) {
      nodes.push_back(c);
    }
  }
  nodes = allowed_of(state, which, std::move(nodes));
  std::stable_sort(
      nodes.begin(), nodes.end(),
      [](const path_candidate& a, const path_candidate& b) { return a.who->node < b.who->node; });
  return kept.empty() ? std::nullopt : mend_path(wanted, up_to(0, nodes, request), kept);
}

result<layer_places> plan_path(const pathfinder_state& state, const path_terms& wanted,
                               const std::vector<path_candidate>& nodes) {
  const auto best = plan_best(state, wanted, nodes);
  if (!best) {
    if (auto path = fewest_stages(wanted, nodes)) {
      return std::move(*path);
    }
    return best.error();
  }
  layer_places path;
  for (const plan_stage& stage : best->planned.stages) {
    path.emplace_back(best->among[stage.node].who->node, stage.layers);
  }
  return path;
}

std::vector<path_candidate> only(const std::set<node_id>& some,
                                 const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> list;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(list),
               [&](const path_candidate& c) { return some.contains(c.who->node); });
  return list;
}

std::vector<path_candidate> without(const std::set<node_id>& some,
                                    const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> list;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(list),
               [&](const path_candidate& c) { return !some.contains(c.who->node); });
  return list;
}

result<layer_places> best_among(pathfinder_state& state, const path_terms& wanted,
                                const watched& request, fault_memory::time_point now,
                                const watched* apart_from, allowed_nodes which) {
  const layer_places kept = kept_of(request);
  if (auto mended = mended_at_once(state, wanted, request, now, apart_from, which)) {
    return std::move(*mended);
  }
  const auto nodes = allowed_of(
      state, which, candidates_for(state, wanted, {layers_of(wanted)}, &request, now, apart_from));
  result<layer_places> path{error{}};
  for (const std::uint32_t level : fault_levels(nodes)) {
    if (!kept.empty()) {
      if (auto mended = mend_path(wanted, up_to(level, nodes, request), kept)) {
        return std::move(*mended);
      }
    }
    path = plan_path(state, wanted, faultless(level, nodes));
    if (path) {
      break;
    }
  }
  return path;
}

bool are_strange(const pathfinder_state& state, const layer_places& path) {
  return std::any_of(path.begin(), path.end(),
                     [&](const auto& one) { return is_strange(state, one.first); });
}

/// `best` or another path of these nodes that leaves a whole one of them.
result<layer_places> first_of_two(const pathfinder_state& state, const path_terms& wanted,
                                  const std::vector<path_candidate>& nodes, layer_places best) {
  std::set<node_id> own;
  for (const auto& [node, layers] : best) {
    own.insert(node);
  }
  if (plan_path(state, wanted, without(own, nodes))) {
    return best;
  }
  // What is best takes a node that every other way needs.
  for (const std::set<node_id>& some : two_covers(nodes, layers_of(wanted).last)) {
    auto path = plan_path(state, wanted, only(some, nodes));
    if (path && plan_path(state, wanted, without(some, nodes))) {
      return path;
    }
  }
  return error{errc::segment_missing, "the nodes that are there make only one"};
}

} // namespace

std::vector<path_candidate> with_leave(const pathfinder_state& state,
                                       const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> some;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(some),
               [&](const path_candidate& c) { return !is_strange(state, c.who->node); });
  return some;
}

path_terms terms_of(const pathfinder_state& state, const catalog_model& model,
                    std::uint32_t positions) {
  return {model.id, model.name, shape_of(model.weights, model.prefill_chunk),
          std::max(positions == 0 ? model.context : positions, 1U), state.environment.self};
}

std::vector<path_candidate> candidates_for(pathfinder_state& state, const path_terms& wanted,
                                           const std::vector<layer_range>& runs,
                                           const watched* request, fault_memory::time_point now,
                                           const watched* apart_from) {
  std::vector<path_candidate> list;
  for (const layer_holding& holding :
       state.holders.holders(wanted.model, layers_of(wanted).last, runs)) {
    if (may_compute(state, *holding.who, request, apart_from)) {
      add_candidates(state, holding, layers_of(wanted).last, request, now, list);
    }
  }
  return list;
}

// Whom there is no way around, the keeper of the ledger then says what is to be waited for.
result<chosen_path> plan_best(const pathfinder_state& state, const path_terms& wanted,
                              const std::vector<path_candidate>& candidates) {
  if (!state.lacking_admission.empty()) {
    if (auto found = choose_path(wanted, admitted_only(state, candidates))) {
      return found;
    }
  }
  return choose_path(wanted, candidates);
}

void take_out_weights(chosen_path& best, double lead_seconds) {
  plan_speed& speed = best.planned.speed;
  for (plan_stage& stage : best.planned.stages) {
    const path_candidate& c = best.among[stage.node];
    const double really = stage.decode_seconds * c.trust / c.price;
    speed.token_seconds += really - stage.decode_seconds;
    stage.decode_seconds = really;
  }
  speed.token_seconds += lead_seconds;
  if (speed.token_seconds > 0) {
    speed.tokens_per_second = 1 / speed.token_seconds;
  }
}

result<layer_places> best_path(pathfinder_state& state, const path_terms& wanted,
                               const watched& request, fault_memory::time_point now,
                               const watched* apart_from) {
  const bool twice = request.twin != twin_rule::alone && !OVIR_MUTANT("twins_of_strangers");
  if (twice || request.wary) {
    auto path = best_among(state, wanted, request, now, apart_from, allowed_nodes::with_leave);
    if (path || (twice && apart_from != nullptr && apart_from->had_strangers)) {
      return path;
    }
  }
  return best_among(state, wanted, request, now, apart_from, allowed_nodes::any);
}

bool has_tier(pathfinder_state& state, const member& m, const watched* request) {
  return request == nullptr || !request->tier ||
         state.tiers.has(*request->tier, m, tier_clock(state));
}

void add_attested(pathfinder_state& state, const watched& request, const node_id& node,
                  std::vector<attestation>& to) {
  const member* const m = request.tier ? state.holders.find(node) : nullptr;
  if (m != nullptr) {
    const auto shown = state.tiers.shown_for(*request.tier, *m, tier_clock(state));
    to.insert(to.end(), shown.begin(), shown.end());
  }
}

namespace {

std::optional<error> lacking_tier_of(pathfinder_state& state, const path_terms& wanted,
                                     const watched& request) {
  const std::uint32_t layers = layers_of(wanted).last;
  std::vector<attested_holder> held;
  for (const layer_holding& holding :
       state.holders.holders(wanted.model, layers, std::vector{layers_of(wanted)})) {
    if (takes_work(state, *holding.who, &request, nullptr)) {
      const auto shown = state.tiers.shown_for(*request.tier, *holding.who, tier_clock(state));
      for (const layer_range& range : holding.ranges) {
        held.push_back({range, shown});
      }
    }
  }
  return no_tier(*request.tier, wanted.name, held, layers);
}

} // namespace

std::optional<error> lacking_allowed_of(pathfinder_state& state, const path_terms& wanted,
                                        const watched& request, fault_memory::time_point now) {
  if (request.tier) {
    if (auto why = lacking_tier_of(state, wanted, request)) {
      return why;
    }
  }
  if (!request.ends) {
    return std::nullopt;
  }
  std::vector<std::pair<node_id, layer_range>> held;
  for (const path_candidate& c :
       candidates_for(state, wanted, {layers_of(wanted)}, &request, now)) {
    held.emplace_back(c.who->node, c.held);
  }
  const auto lacking = lacking_ends(*request.ends, held, layers_of(wanted).last);
  return lacking.empty() ? std::nullopt
                         : std::optional{no_ends(*request.ends, wanted.name, lacking)};
}

result<layer_places> path_beside_twin(pathfinder_state& state, const path_terms& wanted,
                                      const watched& request, layer_places best,
                                      fault_memory::time_point now) {
  const auto nodes = candidates_for(state, wanted, {layers_of(wanted)}, &request, now);
  const auto leave = with_leave(state, nodes);
  if (leave.size() == nodes.size() || OVIR_MUTANT("twins_of_strangers")) {
    return first_of_two(state, wanted, nodes, std::move(best));
  }
  auto first = are_strange(state, best) ? plan_path(state, wanted, leave)
                                        : result<layer_places>{std::move(best)};
  if (first) {
    if (auto path = first_of_two(state, wanted, leave, *first)) {
      return path;
    }
    std::set<node_id> own;
    for (const auto& [node, layers] : *first) {
      own.insert(node);
    }
    if (plan_path(state, wanted, without(own, nodes))) {
      return first;
    }
  }
  for (const std::set<node_id>& some : two_covers(nodes, layers_of(wanted).last)) {
    auto path = plan_path(state, wanted, only(some, leave));
    if (path && plan_path(state, wanted, without(some, nodes))) {
      return path;
    }
  }
  return error{errc::segment_missing, "the nodes that are there make only one, or none with leave"};
}

step_forecast forecast_of(const pathfinder_state& state, const catalog_model& model,
                          const layer_places& path, const watched& request,
                          fault_memory::time_point now) {
  const model_shape shape = shape_of(model.weights, model.prefill_chunk);
  double token = 0;
  double chunk = 0;
  const member* before = nullptr; // the stage that hands over; the lead, for the first
  double through = 0;
  for (const auto& [node, layers] : path) {
    const member* const who = state.holders.find(node);
    if (who == nullptr || layers.last > shape.layer_weights.size()) {
      return {};
    }
    const double word = decode_word(who->advert);
    const auto seen = state.speeds.believed(node, word, now);
    const std::uint32_t others = seen ? requests_on(state, node, &request) : who->advert.sessions;
    const auto bytes = static_cast<double>(decode_bytes(shape, layers));
    const double way = before == nullptr ? rtt_of(*who) : rtt_between(*before, *who);
    token += slowed_by(others) * bytes / seen.value_or(word) + way / 2;
    before = who;
    // Prompts by its word, and one behind the other: what was seen are steps of one position.
    const double here = (1.0 + others) * bytes * model.prefill_chunk / prefill_word(who->advert);
    chunk = std::max(chunk, here);
    through += here;
  }
  token += before == nullptr ? 0 : rtt_of(*before) / 2;
  token += lead_seconds(state, model.id, &request);
  // A node's word on its own speed is no reason to wait longer than for any other.
  const double most = std::chrono::duration<double>(limits::slack_usual_max).count();
  const auto time = [most](double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>{std::clamp(seconds, 0.0, most)});
  };
  return {time(token), time(chunk), time(through)};
}

} // namespace ovir::actors
