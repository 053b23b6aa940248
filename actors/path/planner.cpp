#include "actors/path/planner.hpp"

#include "actors/path/path_search.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "messages/limits/experts.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::actors {

namespace {

/// Two bounds this close end the search for the best throughput.
constexpr double batch_precision = 5e-4;
constexpr std::uint64_t batch_probes = 16;
constexpr std::uint64_t mib = 1U << 20U;
/// What a node needs besides any model: program, stacks, allocator, actor system.
constexpr std::uint64_t process_bytes = 24 * mib;

bool positive(double value) { return std::isfinite(value) && value > 0; }

result<void> check_node(const plan_node& node, std::size_t layers) {
  if (!positive(node.decode_bytes_per_second) || !positive(node.prefill_bytes_per_second) ||
      !positive(node.bandwidth_bytes_per_second)) {
    return fail(errc::invalid_argument, "node {}: speeds and bandwidth must be positive",
                node.name);
  }
  if (!std::isfinite(node.rtt_seconds) || node.rtt_seconds < 0) {
    return fail(errc::invalid_argument, "node {}: the round trip must not be negative", node.name);
  }
  if (node.holds && (node.holds->first >= node.holds->last || node.holds->last > layers)) {
    return fail(errc::invalid_argument,
                "node {}: the layers from {} to before {} are no part of a model of {} layers",
                node.name, node.holds->first, node.holds->last, layers);
  }
  if (node.loaded && !node.holds) {
    return fail(errc::invalid_argument, "node {}: say which layers it has loaded", node.name);
  }
  return {};
}

result<void> check(const plan_request& r) {
  const std::size_t layers = r.shape.layer_weights.size();
  if (layers == 0 || layers > limits::layers_max) {
    return fail(errc::invalid_argument, "a plan needs 1 to {} layers, not {}", limits::layers_max,
                layers);
  }
  if (r.nodes.empty() || r.nodes.size() > limits::path_nodes_max) {
    return fail(errc::invalid_argument, "a plan needs 1 to {} nodes, not {}",
                limits::path_nodes_max, r.nodes.size());
  }
  if (r.context < 1 || r.context > limits::context_max || r.requests < 1 ||
      r.requests > limits::requests_active_max) {
    return fail(errc::invalid_argument,
                "a plan is for a context of 1 to {} positions and 1 to {} requests, not {} and {}",
                limits::context_max, limits::requests_active_max, r.context, r.requests);
  }
  for (const plan_node& node : r.nodes) {
    OVIR_TRY(check_node(node, layers));
  }
  for (const plan_link& link : r.links) {
    if (link.a >= r.nodes.size() || link.b >= r.nodes.size() || link.a == link.b ||
        !positive(link.bandwidth_bytes_per_second) || !std::isfinite(link.rtt_seconds) ||
        link.rtt_seconds < 0) {
      return fail(errc::invalid_argument,
                  "a link joins two different nodes, with a bandwidth above 0 and a round trip of "
                  "at least 0");
    }
  }
  if (r.lead && *r.lead >= r.nodes.size()) {
    return fail(errc::invalid_argument, "the lead is to run on a node that is not there");
  }
  return {};
}

std::uint64_t kv_of(const plan_request& r, std::uint32_t layers) {
  return r.shape.kv_per_position * layers * r.context * r.requests;
}

// Every stage but the last keeps the boundaries it sent, to replay them to a replacement.
std::uint64_t kept_of(const model_shape& s, std::uint32_t positions, bool is_last) {
  return is_last ? s.logits : s.boundary * std::uint64_t{positions};
}

std::uint64_t buffers_of(const plan_request& r, bool is_last) {
  return r.shape.stage_buffers + r.requests * kept_of(r.shape, r.context, is_last);
}

std::uint64_t weights_besides_layers(const model_shape& s, bool is_first, bool is_last) {
  if (is_first && is_last && s.tied_head) {
    return std::max(s.embedding, s.head);
  }
  return (is_first ? s.embedding : 0) + (is_last ? s.head : 0);
}

// A frame passes the sender's and then the receiver's port: an upper estimate, and one that keeps
// the two nodes' shares apart, which the search can use.
double transfer_seconds(std::uint64_t bytes, const plan_node& node) {
  return static_cast<double>(bytes) / node.bandwidth_bytes_per_second;
}

void set_hops(const plan_request& r, path_problem& p) {
  const std::size_t count = r.nodes.size();
  p.hop.assign(count, std::vector<double>(count, 0));
  p.busy = p.hop;
  for (std::size_t i = 0; i < count; ++i) {
    p.nodes[i].hub = r.nodes[i].rtt_seconds / 2 + transfer_seconds(r.shape.boundary, r.nodes[i]);
    for (std::size_t j = 0; j < count; ++j) {
      p.busy[i][j] = std::max(transfer_seconds(r.shape.boundary, r.nodes[i]),
                              transfer_seconds(r.shape.boundary, r.nodes[j]));
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) {
      p.hop[i][j] = p.nodes[i].hub + p.nodes[j].hub;
    }
    path_problem::node& node = p.nodes[i];
    const bool here = r.lead == i;
    const double lead_delay = (r.lead ? r.nodes[*r.lead].rtt_seconds : r.lead_rtt_seconds) / 2;
    node.from_lead = here ? 0 : r.nodes[i].rtt_seconds / 2 + lead_delay;
    node.to_lead_busy = here ? 0 : transfer_seconds(r.shape.logits, r.nodes[i]);
    node.to_lead = node.from_lead + node.to_lead_busy;
  }
  for (const plan_link& link : r.links) {
    const double busy = static_cast<double>(r.shape.boundary) / link.bandwidth_bytes_per_second;
    p.hop[link.a][link.b] = p.hop[link.b][link.a] = link.rtt_seconds / 2 + busy;
    p.busy[link.a][link.b] = p.busy[link.b][link.a] = busy;
    for (const auto& [here, other] : {std::pair{link.a, link.b}, std::pair{link.b, link.a}}) {
      if (r.lead == here) {
        path_problem::node& node = p.nodes[other];
        node.from_lead = link.rtt_seconds / 2;
        node.to_lead_busy = static_cast<double>(r.shape.logits) / link.bandwidth_bytes_per_second;
        node.to_lead = node.from_lead + node.to_lead_busy;
      }
    }
  }
}

path_problem problem_of(const plan_request& r) {
  const model_shape& s = r.shape;
  path_problem p;
  p.layers = static_cast<std::uint32_t>(s.layer_weights.size());
  p.read_before.push_back(0);
  p.held.before.push_back(0);
  p.beside.before.push_back(0);
  for (const std::uint64_t weights : s.layer_weights) {
    p.read_before.push_back(p.read_before.back() + weights);
    p.held.before.push_back(p.held.before.back() + weights + kv_of(r, 1));
    p.beside.before.push_back(p.beside.before.back() + kv_of(r, 1));
  }
  p.head_read = s.head;
  p.beside.first = p.beside.inner = buffers_of(r, false);
  p.beside.last = p.beside.whole = buffers_of(r, true);
  p.held.first = weights_besides_layers(s, true, false) + p.beside.first;
  p.held.last = weights_besides_layers(s, false, true) + p.beside.last;
  p.held.whole = weights_besides_layers(s, true, true) + p.beside.whole;
  p.held.inner = p.beside.inner;
  for (const plan_node& node : r.nodes) {
    p.nodes.push_back({.memory = node.memory,
                       .holds = node.holds.value_or(layer_range{0, p.layers}),
                       .loaded = node.loaded,
                       .seconds_per_byte = 1 / node.decode_bytes_per_second});
  }
  set_hops(r, p);
  return p;
}

plan_speed speed_of(const plan_request& r, const path_problem& p,
                    const std::vector<searched_stage>& path) {
  plan_speed speed;
  double prefill = 0;
  const path_problem::node& last = p.nodes[path.back().node];
  speed.token_seconds = p.nodes[path.front().node].from_lead + last.to_lead;
  speed.slowest_seconds = last.to_lead_busy;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto& [node, layers] = path[i];
    const double seconds = p.stage_seconds(node, layers);
    speed.token_seconds += seconds;
    speed.slowest_seconds = std::max(speed.slowest_seconds, seconds);
    // Of a prompt, only the last position's logits are computed.
    prefill = std::max(
        prefill, static_cast<double>(p.read_before[layers.last] - p.read_before[layers.first]) /
                     r.nodes[node].prefill_bytes_per_second);
    if (i > 0) {
      speed.token_seconds += p.hop[path[i - 1].node][node];
      speed.slowest_seconds = std::max(speed.slowest_seconds, p.busy[path[i - 1].node][node]);
      prefill = std::max(prefill, p.busy[path[i - 1].node][node]);
    }
  }
  speed.tokens_per_second = 1 / speed.token_seconds;
  speed.tokens_per_second_together =
      std::min(1 / speed.slowest_seconds, r.requests / speed.token_seconds);
  speed.prefill_per_second = 1 / prefill;
  return speed;
}

/// What the objective makes small: seconds per token.
double price(const plan_request& r, const plan_speed& speed) {
  return r.objective == plan_objective::interactive ? speed.token_seconds
                                                    : 1 / speed.tokens_per_second_together;
}

struct found_path {
  std::vector<searched_stage> path;
  double bound{0}; ///< no path has a lower price
  std::uint64_t states{0};
  bool complete{true};
};

found_path least_latency(const path_problem& p, std::uint64_t states_max) {
  const path_answer a = search_path(p, {.states_max = states_max});
  return {a.path, a.complete ? a.seconds : a.bound, a.states, a.complete};
}

// Throughput: the round's period is the busiest stage or link, or the round trip shared by the
// requests under way. A period is possible when some path keeps every stage within it and the round
// trip within `requests` of it: halve (in proportion) between an impossible one and one found.
found_path least_period(const plan_request& r, const path_problem& p, found_path start,
                        std::uint64_t states_max) {
  double speeds = 0;
  for (const plan_node& node : r.nodes) {
    speeds += node.decode_bytes_per_second;
  }
  const auto bytes = static_cast<double>(p.read_before[p.layers] + p.head_read);
  found_path best = std::move(start);
  double high = price(r, speed_of(r, p, best.path));
  double low = std::min(high, bytes / speeds);
  double proven = low; // an unfinished search says nothing: `low` then is only a guess
  const std::uint64_t share = states_max / batch_probes;
  while (high > low * (1 + batch_precision) && best.states < states_max) {
    const double middle = std::sqrt(low * high);
    const path_answer a = search_path(
        p, {.busy_max = middle,
            .below = middle * r.requests,
            .any = true,
            .states_max = proven < low ? share : std::min(4 * share, states_max - best.states)});
    best.states += a.states;
    if (!a.path.empty()) {
      best.path = a.path;
      high = std::min(middle, price(r, speed_of(r, p, a.path)));
    } else {
      low = middle;
      proven = a.complete && proven < middle ? middle : proven;
    }
  }
  best.bound = std::min(proven, high);
  return best;
}

std::uint64_t mib_up(std::uint64_t bytes) { return (bytes + mib - 1) / mib; }

// Least memory more on each node with which the model would fit, in MiB.
std::uint64_t missing_on_each(const path_problem& p, std::uint64_t states_max) {
  const auto fits = [&](std::uint64_t extra) {
    path_problem more = p;
    for (auto& node : more.nodes) {
      node.memory += extra * mib;
    }
    return !search_path(more, {.any = true, .states_max = states_max}).path.empty();
  };
  std::uint64_t high = mib_up(p.held.of({0, p.layers}) + p.held.inner);
  std::uint64_t low = 0;
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (fits(middle) ? high : low) = middle;
  }
  return high;
}

// Layers that overlapping holdings cover can always be cut between them, memory aside: nodes are
// missing only where a layer is held by none.
std::optional<error> missing_layers(const path_problem& p) {
  std::vector<bool> there(p.layers, false);
  for (const path_problem::node& node : p.nodes) {
    std::fill(there.begin() + node.holds.first, there.begin() + node.holds.last, true);
  }
  const auto first = std::find(there.begin(), there.end(), false);
  if (first == there.end()) {
    return std::nullopt;
  }
  const auto from = first - there.begin();
  const auto to = std::find(first, there.end(), true) - there.begin() - 1;
  return from == to ? fail(errc::segment_missing, "layer {} is held by no node that is there", from)
                    : fail(errc::segment_missing,
                           "layers {} to {} are held by no node that is there", from, to);
}

error does_not_fit(const plan_request& r, const path_problem& p, const found_path& tried,
                   std::uint64_t states_max) {
  if (!tried.complete) {
    return fail(errc::over_limit,
                "no cut that fits was found among {} stages tried; give the nodes more memory or "
                "plan with fewer of them",
                tried.states);
  }
  std::uint64_t offered = 0;
  for (const plan_node& node : r.nodes) {
    offered += node.memory;
  }
  const std::string more =
      r.nodes.size() > limits::plan_advice_nodes_max
          ? "more memory on each node"
          : fmt::format("{} MiB more on each node", missing_on_each(p, states_max / 16));
  const std::string kv = fmt::format("the KV cache of {} request{} with {} positions and buffers",
                                     r.requests, r.requests == 1 ? "" : "s", r.context);
  if (std::any_of(r.nodes.begin(), r.nodes.end(), [](const plan_node& n) { return n.loaded; })) {
    return fail(errc::over_limit,
                "the model does not fit: {} need {} MiB beside the weights, more when split; the "
                "{} nodes have {} MiB free, but no cut within the layers they hold fits; {} would "
                "do, or a shorter context or fewer requests",
                kv, mib_up(p.beside.of({0, p.layers})), r.nodes.size(), offered / mib, more);
  }
  const std::uint64_t needed = p.held.of({0, p.layers});
  const std::string what =
      fmt::format("weights, {} need {} MiB on one node, more when split", kv, mib_up(needed));
  if (needed > offered) {
    return fail(errc::over_limit,
                "the model does not fit: {}; the {} node{} offer{} {} MiB, at least {} MiB too "
                "little; {} would do, or a shorter context or fewer requests",
                what, r.nodes.size(), r.nodes.size() == 1 ? "" : "s",
                r.nodes.size() == 1 ? "s" : "", offered / mib, mib_up(needed - offered), more);
  }
  return fail(errc::over_limit,
              "the model does not fit: {}; the {} nodes offer {} MiB, but no cut between layers "
              "fits their limits; {} would do, or a shorter context or fewer requests",
              what, r.nodes.size(), offered / mib, more);
}

std::string speed_text(const plan_request& r, const plan_speed& s) {
  return r.objective == plan_objective::interactive
             ? fmt::format("{:.1f} ms per token", s.token_seconds * 1e3)
             : fmt::format("{:.1f} tokens/s together", s.tokens_per_second_together);
}

// What keeps the plan from being faster.
std::string binding(const plan_request& r, const plan& made) {
  const plan_speed& s = made.speed;
  double compute = 0;
  const plan_stage* slowest = &made.stages.front();
  for (const plan_stage& stage : made.stages) {
    compute += stage.decode_seconds;
    slowest = stage.decode_seconds > slowest->decode_seconds ? &stage : slowest;
  }
  if (r.objective == plan_objective::batch) {
    if (r.requests / s.token_seconds < 1 / s.slowest_seconds) {
      return fmt::format("{} request{} cannot keep every stage at work: the round trip of {:.1f} "
                         "ms binds, more requests at once would give up to {:.1f} tokens/s",
                         r.requests, r.requests == 1 ? "" : "s", s.token_seconds * 1e3,
                         1 / s.slowest_seconds);
    }
    return slowest->decode_seconds >= s.slowest_seconds
               ? fmt::format("the slowest stage, on {}, binds with {:.1f} ms per token",
                             r.nodes[slowest->node].name, slowest->decode_seconds * 1e3)
               : fmt::format("the busiest link binds with {:.1f} ms per token",
                             s.slowest_seconds * 1e3);
  }
  return fmt::format("of {:.1f} ms per token, {:.1f} are computing and {:.1f} are the way between "
                     "machines",
                     s.token_seconds * 1e3, compute * 1e3, (s.token_seconds - compute) * 1e3);
}

std::string reason_of(const plan_request& r, const plan& made) {
  std::string text;
  const std::string& alone = r.nodes[made.alone_node].name;
  if (made.stages.size() == 1) {
    text = r.nodes.size() == 1 ? fmt::format("{} is the only machine", alone)
                               : fmt::format("{} alone is faster than any split",
                                             r.nodes[made.stages[0].node].name);
  } else if (!made.alone) {
    const auto layers = static_cast<std::uint32_t>(r.shape.layer_weights.size());
    const bool parts = std::none_of(r.nodes.begin(), r.nodes.end(), [layers](const plan_node& n) {
      return !n.holds || n.holds->size() == layers;
    });
    text = fmt::format("{}, so it is cut into {} stages",
                       parts ? "no machine has all layers of the model"
                             : "memory binds: no machine holds the whole model with its KV cache",
                       made.stages.size());
  } else {
    text = fmt::format("{} stages beat the best machine alone ({}: {})", made.stages.size(), alone,
                       speed_text(r, *made.alone));
  }
  text += "; " + binding(r, made) + ".";
  if (made.stages.size() < r.nodes.size() && made.stages.size() > 1) {
    text += fmt::format(" {} of {} machines are left out: with them it would not be faster.",
                        r.nodes.size() - made.stages.size(), r.nodes.size());
  }
  if (made.gap > 0) {
    text += fmt::format(" The search ended at its limit: a better plan is possible, by at most "
                        "{:.1f} %.",
                        made.gap * 100);
  }
  return text;
}

void compare_alone(const plan_request& r, const path_problem& p, plan& made) {
  for (std::uint32_t i = 0; i < r.nodes.size(); ++i) {
    if (!p.fits(i, {0, p.layers})) {
      continue;
    }
    const plan_speed speed = speed_of(r, p, {{i, {0, p.layers}}});
    if (!made.alone || price(r, speed) < price(r, *made.alone)) {
      made.alone = speed;
      made.alone_node = i;
    }
  }
}

} // namespace

// Residual, normed and attention rows, q, k, v and the three of the feed-forward block, twice: once
// as floats and once in the form products take; and what experts take beside them.
std::uint64_t stage_buffers(const compute::model_config& c, std::uint32_t prefill_chunk) noexcept {
  const std::uint32_t widest = c.experts == 0 ? c.ffn_dim : c.shared_ffn_dim;
  const std::uint64_t expert_rows =
      c.experts == 0 ? 0 : std::max(prefill_chunk, limits::expert_group_rows);
  return process_bytes +
         std::uint64_t{prefill_chunk} * 2 * sizeof(float) *
             (3 * std::uint64_t{c.dim} + 2 * std::uint64_t{c.q_dim()} +
              2 * std::uint64_t{c.kv_dim()} + 3 * std::uint64_t{widest}) +
         expert_rows * 2 * sizeof(float) *
             (3 * std::uint64_t{c.expert_ffn_dim} + 3 * std::uint64_t{c.dim});
}

model_shape shape_of(const compute::model& m, std::uint32_t prefill_chunk) {
  const compute::model_config& c = m.config;
  model_shape s;
  for (const compute::layer_weights& w : m.layers) {
    s.layer_weights.push_back(compute::held_bytes(w));
  }
  s.kv_per_position = std::uint64_t{c.kv_dim()} * 2 * 2; // K and V, fp16
  s.embedding = compute::file_bytes(m.token_embedding);
  s.head = compute::file_bytes(m.output_norm) + compute::held_bytes(m.output);
  // An embedding that is unpacked for products stays in the file's form for looking up.
  s.tied_head = m.output.data == m.token_embedding.data && !compute::is_unpacked(m.output.type);
  s.boundary = std::uint64_t{c.dim} * sizeof(float);
  s.logits = std::uint64_t{c.vocabulary} * sizeof(float);
  s.stage_buffers = stage_buffers(c, prefill_chunk);
  return s;
}

std::uint64_t decode_bytes(const model_shape& s, layer_range layers) noexcept {
  std::uint64_t bytes = layers.last == s.layer_weights.size() ? s.head : 0;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    bytes += s.layer_weights[l];
  }
  return bytes;
}

std::uint64_t stage_room(const model_shape& s, std::uint64_t memory,
                         std::uint32_t positions) noexcept {
  const std::uint64_t least =
      s.stage_buffers + std::min(kept_of(s, positions, true), kept_of(s, positions, false));
  return memory > least ? memory - least : 0;
}

result<plan> make_plan(const plan_request& request) {
  OVIR_TRY(check(request));
  const path_problem p = problem_of(request);
  if (auto missing = missing_layers(p)) {
    return *missing;
  }
  const std::uint64_t states_max =
      request.states_max > 0 ? request.states_max : limits::plan_states_max;
  const bool batch = request.objective == plan_objective::batch;
  // For throughput any path will do to start from; most of the budget is kept for what follows.
  found_path found = least_latency(p, batch ? states_max / 4 : states_max);
  if (found.path.empty()) {
    return does_not_fit(request, p, found, states_max);
  }
  if (batch) {
    found = least_period(request, p, std::move(found), states_max);
  }
  plan made;
  made.speed = speed_of(request, p, found.path);
  compare_alone(request, p, made);
  if (made.alone && price(request, *made.alone) <= price(request, made.speed)) {
    found.path = {{made.alone_node, {0, p.layers}}};
    made.speed = *made.alone;
  }
  for (const auto& [node, layers] : found.path) {
    const bool is_last = layers.last == p.layers;
    made.stages.push_back(
        {.node = node,
         .layers = layers,
         .weights = p.read_before[layers.last] - p.read_before[layers.first] +
                    weights_besides_layers(request.shape, layers.first == 0, is_last),
         .kv = kv_of(request, layers.size()),
         .buffers = buffers_of(request, is_last),
         .decode_seconds = p.stage_seconds(node, layers)});
  }
  const double gap = price(request, made.speed) / found.bound - 1;
  made.gap = gap <= (batch ? batch_precision : 1e-9) ? 0 : gap;
  made.states = found.states;
  made.why = reason_of(request, made);
  return made;
}

} // namespace ovir::actors
