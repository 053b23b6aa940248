#include "actors/path/path_plans_actor.hpp"

#include "actors/path/path_candidates.hpp"
#include "actors/path/path_repair.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <set>

namespace ovir::actors {

namespace {

using place = pathfinder_state::place;
using watched = pathfinder_state::watched;

/// Weight bytes per second of a machine that has not measured itself.
constexpr double unmeasured_decode = 8e9;
constexpr double unmeasured_prefill = 40e9;
/// Members say nothing of their bandwidth; this only ranks paths with much traffic below others.
constexpr double assumed_bandwidth = 125e6;

double measured(std::uint64_t bytes_per_second, double otherwise) {
  return bytes_per_second > 0 ? static_cast<double>(bytes_per_second) : otherwise;
}

bool is_on(const watched& request, const node_id& node) {
  return std::any_of(request.path.begin(), request.path.end(),
                     [&](const place& p) { return p.node == node; });
}

/// What a node asks, relative to the model's rate; 1 where requests are not paid for.
double price_of(const pathfinder_environment& around, const node_advert& advert) {
  return around.pays ? static_cast<double>(advert.ask_ppm) / static_cast<double>(limits::ppm_one)
                     : 1.0;
}

/// Requests share a machine; one that computes for others is slower for this one.
double share_of(const path_candidate& c) {
  return c.trust / c.price / (1.0 + c.who->advert.sessions);
}

double decode_speed(const path_candidate& c) {
  return share_of(c) * measured(c.who->advert.decode_bytes_per_second, unmeasured_decode);
}

double rtt_of(const member& m) { return m.rtt ? std::chrono::duration<double>(*m.rtt).count() : 0; }

bool takes_work(const pathfinder_state& state, const member& m, const watched* request,
                const watched* apart_from) {
  const bool self = m.node == state.environment.self;
  const bool avoided = (request != nullptr && request->avoid.contains(m.node)) ||
                       (apart_from != nullptr && is_on(*apart_from, m.node));
  const bool on_path = request != nullptr && is_on(*request, m.node);
  return m.health == member_health::alive && !avoided &&
         (self || state.environment.links->reachable(m.node)) && m.advert.roles.has(role::worker) &&
         (!m.advert.draining || on_path) &&
         (!state.environment.pays || m.advert.ask_ppm <= state.environment.ask_max_ppm);
}

std::vector<layer_range> ranges_of(const node_advert& advert, const catalog_model& model) {
  const std::uint32_t layers = model.weights.config.layers;
  std::vector<layer_range> held;
  for (const held_segment& segment : advert.held) {
    if (segment.model == model.id) {
      held.push_back(segment.layers);
    }
  }
  return merged_ranges(std::move(held), layers);
}

plan_request plan_for(const catalog_model& model, const std::vector<path_candidate>& nodes,
                      const node_id& self, std::uint32_t positions) {
  plan_request wanted;
  wanted.shape = shape_of(model.weights, model.prefill_chunk);
  wanted.context = std::max(positions, 1U);
  for (const path_candidate& c : nodes) {
    const node_advert& advert = c.who->advert;
    if (c.who->node == self) {
      wanted.lead = static_cast<std::uint32_t>(wanted.nodes.size());
    }
    plan_node node;
    node.name = advert.name + "/" + short_name(c.who->node);
    node.holds = c.held;
    node.loaded = true;
    node.memory = std::max<std::uint64_t>(c.memory, 1);
    node.decode_bytes_per_second = decode_speed(c);
    node.prefill_bytes_per_second =
        share_of(c) * measured(advert.prefill_bytes_per_second, unmeasured_prefill);
    node.rtt_seconds = rtt_of(*c.who);
    node.bandwidth_bytes_per_second = assumed_bandwidth;
    wanted.nodes.push_back(std::move(node));
  }
  return wanted;
}

/// As many as a planner takes.
result<std::vector<path_candidate>> cut(const catalog_model& model,
                                        const std::vector<path_candidate>& nodes) {
  const std::uint32_t layers = model.weights.config.layers;
  std::vector<layer_holder> holders;
  for (const path_candidate& c : nodes) {
    holders.push_back({c.who->node, c.held, decode_speed(c)});
  }
  const auto chosen = chosen_holders(holders, layers, limits::plan_nodes_max);
  if (chosen.empty()) {
    return fail(errc::over_limit,
                "model {} ({}) is spread over so many nodes that a path needs more than {}; let "
                "nodes hold more layers each",
                to_hex(model.id).substr(0, 8), model.name, limits::plan_nodes_max);
  }
  std::vector<path_candidate> few;
  for (const std::size_t i : chosen) {
    few.push_back(nodes[i]);
  }
  return few;
}

result<chosen_path> plan_among(const pathfinder_state& state, const catalog_model& model,
                               const std::vector<path_candidate>& nodes, std::uint32_t positions) {
  if (nodes.empty()) {
    return fail(errc::segment_missing, "no node that is there holds layers of model {} ({})",
                to_hex(model.id).substr(0, 8), model.name);
  }
  OVIR_ASSIGN(std::vector<path_candidate> few, cut(model, nodes));
  OVIR_ASSIGN(plan planned, make_plan(plan_for(model, few, state.environment.self, positions)));
  return chosen_path{std::move(planned), std::move(few)};
}

/// Every level of faults that a node has, the least first; one where there are no nodes.
std::set<std::uint32_t> levels_of(const std::vector<path_candidate>& nodes) {
  std::set<std::uint32_t> levels;
  for (const path_candidate& c : nodes) {
    levels.insert(c.faults);
  }
  return levels.empty() ? std::set<std::uint32_t>{0} : levels;
}

/// Those of a level, or lower; and those that compute for the request already.
std::vector<path_candidate> up_to(std::uint32_t level, const std::vector<path_candidate>& nodes,
                                  const watched* request = nullptr) {
  std::vector<path_candidate> some;
  std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(some), [&](const path_candidate& c) {
    return c.faults <= level || (request != nullptr && is_on(*request, c.who->node));
  });
  return some;
}

/// What a node says of itself does not take it past one with fewer faults.
result<chosen_path> plan_by_level(const pathfinder_state& state, const catalog_model& model,
                                  const std::vector<path_candidate>& nodes,
                                  std::uint32_t positions) {
  result<chosen_path> found{error{}};
  for (const std::uint32_t level : levels_of(nodes)) {
    found = plan_among(state, model, up_to(level, nodes), positions);
    if (found) {
      break;
    }
  }
  return found;
}

std::vector<path_candidate> admitted_only(const pathfinder_state& state,
                                          const std::vector<path_candidate>& nodes) {
  std::vector<path_candidate> admitted;
  std::copy_if(
      nodes.begin(), nodes.end(), std::back_inserter(admitted),
      [&](const path_candidate& c) { return !state.lacking_admission.contains(c.who->node); });
  return admitted;
}

std::vector<repair_node> repair_nodes(const std::vector<path_candidate>& nodes) {
  std::vector<repair_node> able;
  for (const path_candidate& c : nodes) {
    able.push_back({true, c.held, c.memory, decode_speed(c), rtt_of(*c.who)});
  }
  return able;
}

std::optional<layer_places> repaired(const catalog_model& model,
                                     const std::vector<path_candidate>& nodes,
                                     const std::vector<path_place>& before,
                                     const std::vector<repair_node>& able,
                                     std::uint32_t positions) {
  const model_shape shape = shape_of(model.weights, model.prefill_chunk);
  std::vector<repair_layer> layers;
  for (const std::uint64_t weights : shape.layer_weights) {
    layers.push_back({shape.kv_per_position * positions, weights});
  }
  const auto mended = repair_path(before, able, layers);
  if (!mended) {
    return std::nullopt;
  }
  layer_places path;
  for (const path_place& p : *mended) {
    path.emplace_back(nodes[p.node].who->node, p.layers);
  }
  return path;
}

// Keeps what works, of a request without a path yet what it would rather have; absent when that is
// impossible or there is nothing to keep.
std::optional<layer_places> mend_path(const catalog_model& model,
                                      const std::vector<path_candidate>& nodes,
                                      const watched& request) {
  std::vector<repair_node> able = repair_nodes(nodes);
  layer_places wanted = request.path.empty() ? request.preferred : layer_places{};
  for (const place& p : request.path) {
    wanted.emplace_back(p.node, p.layers);
  }
  std::vector<path_place> before;
  for (const auto& [node, layers] : wanted) {
    const auto found =
        std::find_if(nodes.begin(), nodes.end(), [&, node = node, layers = layers](const auto& c) {
          return c.who->node == node && c.held.first <= layers.first && layers.last <= c.held.last;
        });
    if (found == nodes.end()) {
      able.push_back({}); // it takes no part any more
      before.push_back({static_cast<std::uint32_t>(able.size() - 1), layers});
    } else {
      before.push_back({static_cast<std::uint32_t>(found - nodes.begin()), layers});
    }
  }
  return before.empty() ? std::nullopt : repaired(model, nodes, before, able, request.positions);
}

/// Where the few nodes that a planner looks at do not suffice: the fewest stages, of all nodes.
std::optional<layer_places> path_of_all(const catalog_model& model,
                                        const std::vector<path_candidate>& nodes,
                                        std::uint32_t positions) {
  if (nodes.size() <= limits::plan_nodes_max) {
    return std::nullopt;
  }
  std::vector<repair_node> able = repair_nodes(nodes);
  able.push_back({});
  const path_place none{static_cast<std::uint32_t>(able.size() - 1),
                        {0, model.weights.config.layers}};
  return repaired(model, nodes, {none}, able, positions);
}

result<layer_places> plan_path(const pathfinder_state& state, const catalog_model& model,
                               const std::vector<path_candidate>& nodes, std::uint32_t positions) {
  const auto best = plan_best(state, model, nodes, positions);
  if (!best) {
    if (auto path = path_of_all(model, nodes, positions)) {
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

} // namespace

std::vector<path_candidate> candidates_for(const pathfinder_state& state,
                                           const catalog_model& model, const watched* request,
                                           fault_memory::time_point now,
                                           const watched* apart_from) {
  std::vector<path_candidate> list;
  for (const member& m : *state.members) {
    if (!takes_work(state, m, request, apart_from)) {
      continue;
    }
    const std::vector<layer_range> ranges = ranges_of(m.advert, model);
    for (const layer_range& range : ranges) {
      list.push_back({&m, range, m.advert.memory_free / ranges.size(), state.trusted.trust(m.node),
                      price_of(state.environment, m.advert), state.faults.level(m.node, now)});
    }
  }
  return list;
}

// Around those who lack admission; with them where there is no other way, for the keeper of the
// ledger then says what is to be waited for.
result<chosen_path> plan_best(const pathfinder_state& state, const catalog_model& model,
                              const std::vector<path_candidate>& nodes, std::uint32_t positions) {
  if (!state.lacking_admission.empty()) {
    if (auto found = plan_by_level(state, model, admitted_only(state, nodes), positions)) {
      return found;
    }
  }
  return plan_by_level(state, model, nodes, positions);
}

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

result<layer_places> best_path(const pathfinder_state& state, const catalog_model& model,
                               const std::vector<path_candidate>& nodes, const watched& request) {
  result<layer_places> path{error{}};
  for (const std::uint32_t level : levels_of(nodes)) {
    if (auto mended = mend_path(model, up_to(level, nodes, &request), request)) {
      return std::move(*mended);
    }
    path = plan_path(state, model, up_to(level, nodes), request.positions);
    if (path) {
      break;
    }
  }
  return path;
}

step_forecast forecast_of(const std::vector<path_candidate>& nodes, const catalog_model& model,
                          const layer_places& path) {
  const model_shape shape = shape_of(model.weights, model.prefill_chunk);
  double token = 0;
  double chunk = 0;
  for (const auto& [node, layers] : path) {
    const auto found =
        std::find_if(nodes.begin(), nodes.end(),
                     [&, node = node](const path_candidate& c) { return c.who->node == node; });
    if (found == nodes.end() || layers.last > shape.layer_weights.size()) {
      return {};
    }
    const node_advert& advert = found->who->advert;
    const double busy = 1.0 + advert.sessions;
    std::uint64_t weights = layers.last == shape.layer_weights.size() ? shape.head : 0;
    for (layer_index l = layers.first; l < layers.last; ++l) {
      weights += shape.layer_weights[l];
    }
    const double bytes = busy * static_cast<double>(weights);
    token +=
        bytes / measured(advert.decode_bytes_per_second, unmeasured_decode) + rtt_of(*found->who);
    chunk = std::max(chunk, bytes * model.prefill_chunk /
                                measured(advert.prefill_bytes_per_second, unmeasured_prefill));
  }
  // A node's word on its own speed is no reason to wait longer than for any other.
  const double most = std::chrono::duration<double>(limits::slack_usual_max).count();
  const auto time = [most](double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>{std::clamp(seconds, 0.0, most)});
  };
  return {time(token), time(chunk)};
}

} // namespace ovir::actors
