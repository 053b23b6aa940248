#include "actors/path/path_candidates.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace ovir::actors {

namespace {

class chooser {
public:
  chooser(std::span<const layer_holder> holders, std::span<const layer_range> runs, std::size_t few,
          std::size_t most);

  std::vector<std::size_t> answer();

private:
  /// A holder of some layers of the runs.
  struct entry {
    std::size_t index{0};
    std::vector<layer_range> layers; ///< of the runs
    std::uint32_t at_once{0};
    double cost{0};      ///< of a layer in the longest stage
    double cost_once{0}; ///< of a stage of one layer
    bool chosen{false};
  };

  void clip(std::size_t index);
  void leave_out_the_full();
  void choose(entry& e);
  void count(const entry& e);
  void cover(const layer_range& run);
  void rank(double entry::*cost, std::uint32_t per_layer);
  void choose_all(std::uint32_t divisor);
  [[nodiscard]] bool better(const entry& a, const entry& b, double entry::*cost) const;
  [[nodiscard]] bool has_room(const entry& e) const;
  [[nodiscard]] bool wanted(const entry& e, std::uint32_t per_layer) const;

  std::span<const layer_holder> holders_;
  std::span<const layer_range> runs_;
  std::size_t few_;
  std::size_t most_;
  std::vector<entry> entries_;
  std::vector<double> held_; ///< per layer, by those counted
  std::size_t chosen_{0};
  bool to_the_brim_{false}; ///< no more than `most_` are chosen
  std::map<node_id, std::size_t> ranges_of_;
};

chooser::chooser(std::span<const layer_holder> holders, std::span<const layer_range> runs,
                 std::size_t few, std::size_t most)
    : holders_(holders), runs_(runs), few_(few), most_(most),
      held_(runs.empty() ? 0 : runs.back().last, 0) {
  for (std::size_t i = 0; i < holders.size(); ++i) {
    clip(i);
  }
}

void chooser::clip(std::size_t index) {
  const layer_holder& holder = holders_[index];
  entry e{index, {}, holder.at_once};
  std::uint32_t longest = 0;
  for (const layer_range& run : runs_) {
    const layer_range both{std::max(run.first, holder.layers.first),
                           std::min(run.last, holder.layers.last)};
    if (both.first < both.last) {
      e.layers.push_back(both);
      longest = std::max(longest, both.size());
    }
  }
  if (!e.layers.empty()) {
    e.cost = holder.layer_seconds +
             holder.hand_over_seconds / std::max(1U, std::min(longest, holder.at_once));
    e.cost_once = holder.layer_seconds + holder.hand_over_seconds;
    entries_.push_back(std::move(e));
  }
}

bool chooser::better(const entry& a, const entry& b, double entry::*cost) const {
  const layer_holder& x = holders_[a.index];
  const layer_holder& y = holders_[b.index];
  return std::tie(a.*cost, x.node, x.layers.first) < std::tie(b.*cost, y.node, y.layers.first);
}

// Where somebody else has room for each of their layers.
void chooser::leave_out_the_full() {
  std::vector<bool> roomy(held_.size(), false);
  for (const entry& e : entries_) {
    for (const layer_range& part : e.layers) {
      if (e.at_once > 0) {
        std::fill(roomy.begin() + part.first, roomy.begin() + part.last, true);
      }
    }
  }
  std::erase_if(entries_, [&](const entry& e) {
    return e.at_once == 0 &&
           std::all_of(e.layers.begin(), e.layers.end(), [&](const layer_range& part) {
             return std::all_of(roomy.begin() + part.first, roomy.begin() + part.last,
                                [](bool other) { return other; });
           });
  });
}

void chooser::choose(entry& e) {
  e.chosen = true;
  ++chosen_;
  ++ranges_of_[holders_[e.index].node];
}

void chooser::count(const entry& e) {
  std::uint32_t layers = 0;
  for (const layer_range& part : e.layers) {
    layers += part.size();
  }
  const double share = static_cast<double>(std::clamp(e.at_once, 1U, layers)) / layers;
  for (const layer_range& part : e.layers) {
    for (layer_index l = part.first; l < part.last; ++l) {
      held_[l] += share;
    }
  }
}

// The holder that reaches furthest from the first layer not covered yet: no other way needs fewer.
void chooser::cover(const layer_range& run) {
  for (layer_index next = run.first; next < run.last;) {
    entry* furthest = nullptr;
    layer_index reached = next;
    for (entry& e : entries_) {
      for (const layer_range& part : e.layers) {
        if (e.chosen || part.first > next || next >= part.last) {
          continue;
        }
        const layer_index reach = std::min(part.last, next + std::max(1U, e.at_once));
        if (reach > reached || (reach == reached && better(e, *furthest, &entry::cost))) {
          furthest = &e;
          reached = reach;
        }
      }
    }
    if (furthest != nullptr) {
      choose(*furthest);
    }
    next = furthest != nullptr ? reached : next + 1;
  }
}

bool chooser::has_room(const entry& e) const {
  const auto known = ranges_of_.find(holders_[e.index].node);
  return (chosen_ < most_ || !to_the_brim_) &&
         (known == ranges_of_.end() || known->second < limits::plan_ranges_per_node_max);
}

bool chooser::wanted(const entry& e, std::uint32_t per_layer) const {
  return std::any_of(e.layers.begin(), e.layers.end(), [&](const layer_range& part) {
    return std::any_of(held_.begin() + part.first, held_.begin() + part.last,
                       [per_layer](double held) { return held < per_layer; });
  });
}

// Those that were chosen before count, too, where they are among the cheapest.
void chooser::rank(double entry::*cost, std::uint32_t per_layer) {
  std::vector<entry*> order;
  for (entry& e : entries_) {
    order.push_back(&e);
  }
  std::sort(order.begin(), order.end(),
            [&](const entry* a, const entry* b) { return better(*a, *b, cost); });
  std::fill(held_.begin(), held_.end(), 0);
  for (entry* const e : order) {
    if ((e->chosen || has_room(*e)) && wanted(*e, per_layer)) {
      count(*e);
      if (!e->chosen) {
        choose(*e);
      }
    }
  }
}

void chooser::choose_all(std::uint32_t divisor) {
  for (entry& e : entries_) {
    e.chosen = false;
  }
  chosen_ = 0;
  ranges_of_.clear();
  for (const layer_range& run : runs_) {
    cover(run);
  }
  to_the_brim_ = 2 * divisor > limits::path_holders_per_layer;
  rank(&entry::cost, std::max(1U, limits::path_holders_per_layer / divisor));
  rank(&entry::cost_once, std::max(1U, limits::path_holders_for_one_layer / divisor));
}

std::vector<std::size_t> chooser::answer() {
  if (entries_.size() > few_) {
    leave_out_the_full();
    std::uint32_t divisor = 1;
    choose_all(divisor);
    while (chosen_ > most_ && !to_the_brim_) {
      choose_all(divisor *= 2);
    }
    std::erase_if(entries_, [](const entry& e) { return !e.chosen; });
  }
  std::vector<std::size_t> indices;
  for (const entry& e : entries_) {
    indices.push_back(e.index);
  }
  std::sort(indices.begin(), indices.end());
  return indices;
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

std::vector<std::size_t> chosen_holders(std::span<const layer_holder> holders,
                                        std::span<const layer_range> runs, std::size_t few,
                                        std::size_t most) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    OVIR_CHECK(runs[i].first < runs[i].last && runs[i].last <= limits::layers_max &&
                   (i == 0 || runs[i - 1].last <= runs[i].first),
               runs[i].first, runs[i].last);
  }
  return chooser{holders, runs, few, most}.answer();
}

} // namespace ovir::actors
