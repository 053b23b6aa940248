#include "actors/placement/placement_state.hpp"

#include "messages/limits/placement.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

namespace ovir::actors {

std::vector<layer_range> ranges_of(const layer_marks& marks) {
  std::vector<layer_range> ranges;
  for (std::uint32_t i = 0; i < marks.size(); ++i) {
    if (!marks[i]) {
      continue;
    }
    if (ranges.empty() || ranges.back().last != i) {
      ranges.push_back({i, i});
    }
    ranges.back().last = i + 1;
  }
  return ranges;
}

std::uint64_t bytes_of(const placeable_model& model, const layer_marks& marks) {
  const model_shape& shape = model.shape;
  std::uint64_t bytes = 0;
  for (const layer_range& range : ranges_of(marks)) {
    for (std::uint32_t i = range.first; i < range.last; ++i) {
      bytes += shape.layer_weights[i] + shape.kv_per_position * model.positions;
    }
    const bool last = range.last == marks.size();
    bytes += (last ? shape.logits : shape.boundary * model.positions) + shape.stage_buffers;
  }
  const bool first = marks.front();
  const bool last = marks.back();
  const bool once = first && last && shape.tied_head;
  return bytes + (once ? std::max(shape.embedding, shape.head)
                       : (first ? shape.embedding : 0) + (last ? shape.head : 0));
}

void mark(layer_marks& marks, const placement_node::holdings& held, const digest& model) {
  const auto known = held.find(model);
  if (known == held.end()) {
    return;
  }
  for (const layer_range& range : known->second) {
    for (std::size_t i = range.first; i < range.last && i < marks.size(); ++i) {
      marks[i] = true;
    }
  }
}

placement_state::placement_state(const std::vector<placeable_model>& models,
                                 const std::vector<const placement_node*>& nodes, bool coming)
    : models_(&models), marks_(nodes.size()), bytes_(nodes.size()), used_(nodes.size()) {
  for (const placeable_model& model : models) {
    copies_.emplace_back(model.shape.layer_weights.size());
  }
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    bytes_[n].resize(models.size());
    for (std::size_t m = 0; m < models.size(); ++m) {
      const std::size_t layers = copies_[m].size();
      marks_[n].emplace_back(layers);
      layer_marks held(layers);
      mark(held, nodes[n]->held, models[m].id);
      if (coming) {
        mark(held, nodes[n]->coming, models[m].id);
      }
      set(n, m, std::move(held));
    }
  }
}

std::uint64_t placement_state::used_with(std::size_t node, std::size_t model,
                                         const layer_marks& instead) const {
  return used_[node] - bytes_[node][model] + bytes_of((*models_)[model], instead);
}

void placement_state::set(std::size_t node, std::size_t model, layer_marks instead) {
  layer_marks& now = marks_[node][model];
  for (std::size_t i = 0; i < now.size(); ++i) {
    copies_[model][i] += (instead[i] ? 1U : 0U) - (now[i] ? 1U : 0U);
  }
  now = std::move(instead);
  used_[node] -= bytes_[node][model];
  bytes_[node][model] = bytes_of((*models_)[model], now);
  used_[node] += bytes_[node][model];
}

namespace {

/// The stretches that a search for a path goes over.
struct stretches {
  std::vector<layer_range> single; ///< of nodes that have one, which no path needs twice
  std::vector<std::pair<std::size_t, layer_range>> several; ///< of the others, with their node
};

/// The farthest end of a single stretch that holds the layer; the layer itself: none.
std::uint32_t farthest(const stretches& all, std::uint32_t layer) {
  std::uint32_t end = layer;
  for (const layer_range& range : all.single) {
    if (range.first <= layer && layer < range.last) {
      end = std::max(end, range.last);
    }
  }
  return end;
}

} // namespace

placement_state::reach placement_state::reached(std::size_t model) const {
  stretches all;
  for (std::size_t n = 0; n < marks_.size(); ++n) {
    const std::vector<layer_range> ranges = ranges_of(marks_[n][model]);
    for (const layer_range& range : ranges) {
      if (ranges.size() == 1) {
        all.single.push_back(range);
      } else {
        all.several.emplace_back(n, range);
      }
    }
  }
  // Of paths over the same nodes of several ranges the one that reaches farthest is the best.
  const auto layers = static_cast<std::uint32_t>(copies_[model].size());
  std::map<std::vector<std::size_t>, std::uint32_t> seen{{{}, 0}};
  std::deque<std::vector<std::size_t>> open{{}};
  reach best;
  while (!open.empty() && best.layer < layers) {
    const std::vector<std::size_t> over = std::move(open.front());
    open.pop_front();
    std::uint32_t layer = seen.at(over);
    for (std::uint32_t next = farthest(all, layer); next != layer; next = farthest(all, layer)) {
      layer = next;
    }
    if (layer > best.layer) {
      best = {layer, over};
    }
    for (const auto& [node, range] : all.several) {
      if (range.first > layer || layer >= range.last ||
          std::binary_search(over.begin(), over.end(), node)) {
        continue;
      }
      std::vector<std::size_t> with = over;
      with.insert(std::lower_bound(with.begin(), with.end(), node), node);
      const auto [known, fresh] = seen.try_emplace(with, range.last);
      if ((fresh || known->second < range.last) && seen.size() <= limits::placement_paths_max) {
        known->second = range.last;
        open.push_back(std::move(with));
      }
    }
  }
  return best;
}

} // namespace ovir::actors
