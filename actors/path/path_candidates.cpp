#include "actors/path/path_candidates.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

namespace ovir::actors {

namespace {

bool covers(const layer_range& range, layer_index layer) {
  return range.first <= layer && layer < range.last;
}

class chooser {
public:
  chooser(std::span<const layer_holder> holders, std::uint32_t layers, std::size_t most)
      : holders_(holders), most_(most), chosen_(holders.size(), false), times_held_(layers, 0) {}

  std::vector<std::size_t> answer();

private:
  [[nodiscard]] bool better(std::size_t a, std::size_t b) const {
    return holders_[a].speed != holders_[b].speed ? holders_[a].speed > holders_[b].speed : a < b;
  }
  void take(std::size_t holder);
  void cover();
  [[nodiscard]] std::optional<std::size_t> best_at(layer_index layer) const;
  [[nodiscard]] bool fill();

  std::span<const layer_holder> holders_;
  std::size_t most_;
  std::vector<bool> chosen_;
  std::size_t count_{0};
  std::vector<std::uint32_t> times_held_; ///< per layer, by those chosen
  std::map<node_id, std::size_t> ranges_of_;
};

void chooser::take(std::size_t holder) {
  chosen_[holder] = true;
  ++count_;
  ++ranges_of_[holders_[holder].node];
  for (layer_index l = holders_[holder].layers.first; l < holders_[holder].layers.last; ++l) {
    ++times_held_[l];
  }
}

// The holder that reaches furthest from the first layer not covered yet: no other way needs fewer.
void chooser::cover() {
  const auto layers = static_cast<layer_index>(times_held_.size());
  for (layer_index next = 0; next < layers;) {
    std::optional<std::size_t> furthest;
    for (std::size_t i = 0; i < holders_.size(); ++i) {
      if (!covers(holders_[i].layers, next)) {
        continue;
      }
      const layer_index reach = holders_[i].layers.last;
      if (!furthest || reach > holders_[*furthest].layers.last ||
          (reach == holders_[*furthest].layers.last && better(i, *furthest))) {
        furthest = i;
      }
    }
    if (furthest) {
      take(*furthest);
    }
    next = furthest ? holders_[*furthest].layers.last : next + 1;
  }
}

std::optional<std::size_t> chooser::best_at(layer_index layer) const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    if (chosen_[i] || !covers(holders_[i].layers, layer)) {
      continue;
    }
    const auto known = ranges_of_.find(holders_[i].node);
    const bool room = known == ranges_of_.end() || known->second < limits::plan_ranges_per_node_max;
    if (room && (!best || better(i, *best))) {
      best = i;
    }
  }
  return best;
}

// One more for the layer with the fewest holders that has others.
bool chooser::fill() {
  std::vector<layer_index> order(times_held_.size());
  std::iota(order.begin(), order.end(), layer_index{0});
  std::stable_sort(order.begin(), order.end(), [this](layer_index a, layer_index b) {
    return times_held_[a] < times_held_[b];
  });
  for (const layer_index layer : order) {
    if (const auto best = best_at(layer)) {
      take(*best);
      return true;
    }
  }
  return false;
}

std::vector<std::size_t> chooser::answer() {
  std::vector<std::size_t> all;
  if (holders_.size() <= most_) {
    all.resize(holders_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }
  cover();
  if (count_ > most_) {
    return all;
  }
  while (count_ < most_ && fill()) {
  }
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    if (chosen_[i]) {
      all.push_back(i);
    }
  }
  return all;
}

} // namespace

std::vector<layer_range> merged_ranges(std::vector<layer_range> held, std::uint32_t layers) {
  std::erase_if(held,
                [layers](const layer_range& r) { return r.first >= r.last || r.last > layers; });
  std::sort(held.begin(), held.end(), [](const layer_range& a, const layer_range& b) {
    return a.first != b.first ? a.first < b.first : a.last < b.last;
  });
  std::vector<layer_range> merged;
  for (const layer_range& range : held) {
    if (!merged.empty() && range.first < merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<std::size_t> chosen_holders(std::span<const layer_holder> holders, std::uint32_t layers,
                                        std::size_t most) {
  return chooser{holders, layers, most}.answer();
}

} // namespace ovir::actors
