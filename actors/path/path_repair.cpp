#include "actors/path/path_repair.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cmath>
#include <compare>
#include <limits>
#include <tuple>

namespace ovir::actors {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
/// Sums of doubles in another order differ in their last digits; such repairs are equals.
constexpr double rounding = 1e-12;
constexpr double unmeasured_bytes_per_second = 1;

/// What a repair makes small, in this order.
struct repair_cost {
  std::uint32_t stages{0};
  std::uint32_t shared{0}; ///< of these, on nodes that compute another stage of the path
  double seconds{0};

  friend repair_cost operator+(const repair_cost& a, const repair_cost& b) {
    return {a.stages + b.stages, a.shared + b.shared, a.seconds + b.seconds};
  }
  friend bool operator<(const repair_cost& a, const repair_cost& b) {
    return std::tie(a.stages, a.shared, a.seconds) < std::tie(b.stages, b.shared, b.seconds);
  }
};
constexpr repair_cost impossible{std::numeric_limits<std::uint32_t>::max() / 2, 0, infinite};

/// Layers in a row that have no node any more.
using lost_run = layer_range;

/// First looks for the best way when every new stage has all its node's free memory to itself: a
/// table from the last lost layer to the first. Where that way gives no node two stages, it is the
/// answer. Else its costs are the lower bound of a search, depth first, in which stages of one node
/// share its memory.
class repairer {
public:
  repairer(std::span<const path_place> path, std::span<const repair_node> nodes,
           std::span<const repair_layer> layers);

  std::optional<std::vector<path_place>> answer();

private:
  struct choice {
    repair_cost estimate; ///< of the whole repair, at least
    repair_cost cost;     ///< of this stage
    path_place place;
  };

  void find_lost(std::span<const path_place> path);
  void fill_table();
  [[nodiscard]] bool holds(std::uint32_t node, layer_index layer) const;
  [[nodiscard]] double seconds_of(std::uint32_t node, layer_range range) const;
  [[nodiscard]] layer_index end_of_run(layer_index layer) const;
  /// The lost layer at which the next stage begins when one ends before `layer`.
  [[nodiscard]] layer_index next_lost(layer_index layer) const;
  std::vector<choice> choices_at(layer_index layer, const repair_cost& so_far);
  [[nodiscard]] bool promises(repair_cost estimate) const {
    estimate.seconds *= 1 + rounding;
    return estimate < best_cost_;
  }
  void search(layer_index layer, const repair_cost& so_far);

  std::span<const repair_node> nodes_;
  std::span<const repair_layer> layers_;
  layer_index end_;
  std::vector<double> weights_before_; ///< sums over layers before l, [layers + 1]
  std::vector<path_place> kept_;
  std::vector<lost_run> lost_; ///< in order, none touches the next
  std::vector<std::uint64_t> free_;
  std::vector<std::uint32_t> stages_on_; ///< per node, kept and chosen
  std::vector<repair_cost> rest_;        ///< per layer: the least that it and all later ones cost
  std::vector<path_place> chosen_;
  std::vector<path_place> best_;
  repair_cost best_cost_{impossible};
  std::uint64_t tried_{0};
};

repairer::repairer(std::span<const path_place> path, std::span<const repair_node> nodes,
                   std::span<const repair_layer> layers)
    : nodes_(nodes), layers_(layers), end_(static_cast<layer_index>(layers.size())),
      weights_before_(layers.size() + 1, 0), stages_on_(nodes.size(), 0) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    weights_before_[l + 1] = weights_before_[l] + static_cast<double>(layers[l].weights);
  }
  for (const repair_node& node : nodes) {
    free_.push_back(node.memory_free);
  }
  find_lost(path);
  fill_table();
}

void repairer::find_lost(std::span<const path_place> path) {
  layer_index next = 0;
  for (const path_place& place : path) {
    OVIR_CHECK(place.node < nodes_.size() && place.layers.first == next &&
                   place.layers.last > next && place.layers.last <= end_,
               place.node, place.layers.first, place.layers.last);
    next = place.layers.last;
    if (nodes_[place.node].usable) {
      kept_.push_back(place);
      ++stages_on_[place.node];
    } else if (!lost_.empty() && lost_.back().last == place.layers.first) {
      lost_.back().last = next;
    } else {
      lost_.push_back(place.layers);
    }
  }
  OVIR_CHECK(next == end_, next, end_);
}

bool repairer::holds(std::uint32_t node, layer_index layer) const {
  const repair_node& n = nodes_[node];
  return n.usable && (!n.holds || (n.holds->first <= layer && layer < n.holds->last));
}

double repairer::seconds_of(std::uint32_t node, layer_range range) const {
  const double measured = nodes_[node].decode_bytes_per_second;
  const double speed = std::isfinite(measured) ? std::max(measured, unmeasured_bytes_per_second)
                                               : unmeasured_bytes_per_second;
  const double rtt = nodes_[node].rtt_seconds;
  return (weights_before_[range.last] - weights_before_[range.first]) / speed +
         (std::isfinite(rtt) ? std::max(rtt, 0.0) : 0);
}

layer_index repairer::end_of_run(layer_index layer) const {
  const auto run = std::find_if(lost_.begin(), lost_.end(),
                                [layer](const lost_run& r) { return layer < r.last; });
  OVIR_CHECK(run != lost_.end() && run->first <= layer, layer);
  return run->last;
}

layer_index repairer::next_lost(layer_index layer) const {
  const auto run = std::find_if(lost_.begin(), lost_.end(),
                                [layer](const lost_run& r) { return layer < r.last; });
  return run == lost_.end() ? end_ : std::max(layer, run->first);
}

// Every stage that can begin at `layer` with the memory now free, the most promising first; those
// that cannot lead to a better repair than the best known are left out.
std::vector<repairer::choice> repairer::choices_at(layer_index layer, const repair_cost& so_far) {
  const layer_index run_end = end_of_run(layer);
  std::vector<choice> found;
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    std::uint64_t left = free_[node];
    for (layer_index last = layer; last < run_end && holds(node, last); ++last) {
      if (layers_[last].needed > left) {
        break;
      }
      ++tried_;
      left -= layers_[last].needed;
      const layer_range range{layer, last + 1};
      const repair_cost cost{1, stages_on_[node] > 0 ? 1U : 0U, seconds_of(node, range)};
      const repair_cost estimate = so_far + cost + rest_[next_lost(range.last)];
      if (promises(estimate)) {
        found.push_back({estimate, cost, {node, range}});
      }
    }
  }
  return found;
}

void repairer::fill_table() {
  rest_.assign(end_ + 1U, repair_cost{});
  for (auto run = lost_.rbegin(); run != lost_.rend(); ++run) {
    for (layer_index layer = run->last; layer > run->first;) {
      --layer;
      rest_[layer] = impossible;
      for (const choice& c : choices_at(layer, {})) {
        rest_[layer] = std::min(rest_[layer], c.estimate);
      }
    }
  }
}

void repairer::search(layer_index layer, const repair_cost& so_far) {
  if (layer == end_) {
    best_ = chosen_;
    best_cost_ = so_far;
    return;
  }
  std::vector<choice> choices = choices_at(layer, so_far);
  std::stable_sort(choices.begin(), choices.end(),
                   [](const choice& a, const choice& b) { return a.estimate < b.estimate; });
  for (const choice& c : choices) {
    if (!promises(c.estimate) || tried_ >= limits::repair_states_max) {
      return; // the later ones promise no more
    }
    std::uint64_t needed = 0;
    for (layer_index l = c.place.layers.first; l < c.place.layers.last; ++l) {
      needed += layers_[l].needed;
    }
    free_[c.place.node] -= needed;
    ++stages_on_[c.place.node];
    chosen_.push_back(c.place);
    search(next_lost(c.place.layers.last), so_far + c.cost);
    chosen_.pop_back();
    --stages_on_[c.place.node];
    free_[c.place.node] += needed;
  }
}

std::optional<std::vector<path_place>> repairer::answer() {
  tried_ = 0;
  search(next_lost(0), {});
  if (!(best_cost_ < impossible)) {
    return std::nullopt;
  }
  std::vector<path_place> whole = kept_;
  whole.insert(whole.end(), best_.begin(), best_.end());
  std::sort(whole.begin(), whole.end(), [](const path_place& a, const path_place& b) {
    return a.layers.first < b.layers.first;
  });
  return whole;
}

} // namespace

std::optional<std::vector<path_place>> repair_path(std::span<const path_place> path,
                                                   std::span<const repair_node> nodes,
                                                   std::span<const repair_layer> layers) {
  OVIR_CHECK(layers.size() <= limits::layers_max, layers.size());
  return repairer{path, nodes, layers}.answer();
}

bool should_move(double current_seconds, double best_seconds) noexcept {
  return best_seconds > 0 && std::isfinite(best_seconds) &&
         current_seconds >= best_seconds * limits::move_speedup_min;
}

} // namespace ovir::actors
