#include "actors/path/holder_index.hpp"

#include "actors/path/path_candidates.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

bool alive(const member* m) { return m != nullptr && m->health == member_health::alive; }

bool by_key(const member* a, const member* b) { return a->node < b->node; }

} // namespace

void holder_index::remove(model_entry& entry, const node_id& node) {
  const auto known = entry.ranges.find(node);
  if (known == entry.ranges.end()) {
    return;
  }
  for (const layer_range& range : known->second) {
    for (layer_index l = range.first; l < range.last; ++l) {
      entry.at[l].erase(node);
    }
  }
  entry.ranges.erase(known);
}

void holder_index::insert(model_entry& entry, const digest& model, const member& m) {
  std::vector<layer_range> held;
  for (const held_segment& segment : m.advert.held) {
    if (segment.model == model) {
      held.push_back(segment.layers);
    }
  }
  held = merged_ranges(std::move(held), entry.layers);
  for (const layer_range& range : held) {
    for (layer_index l = range.first; l < range.last; ++l) {
      entry.at[l].insert(m.node);
    }
  }
  if (!held.empty()) {
    entry.ranges[m.node] = std::move(held);
  }
}

// One of the two may be null.
void holder_index::changed(const member* was, const member* is, std::vector<node_id>& gone) {
  const node_id& node = is != nullptr ? is->node : was->node;
  if (!alive(is) && (was == nullptr || alive(was))) {
    gone.push_back(node);
  }
  if (alive(was) == alive(is) && (!alive(is) || was->advert.held == is->advert.held)) {
    return;
  }
  for (auto& [model, entry] : models_) {
    remove(entry, node);
    if (alive(is)) {
      insert(entry, model, *is);
    }
  }
}

std::vector<node_id> holder_index::update(members_view now) {
  std::vector<node_id> gone;
  const std::vector<const member*> before = std::exchange(by_node_, {});
  const members_view kept = std::exchange(members_, std::move(now)); // `before` points into it
  for (const member& m : *members_) {
    by_node_.push_back(&m);
  }
  if (!std::is_sorted(by_node_.begin(), by_node_.end(), by_key)) {
    std::sort(by_node_.begin(), by_node_.end(), by_key);
  }
  auto was = before.begin();
  for (const member* is : by_node_) {
    for (; was != before.end() && (*was)->node < is->node; ++was) {
      changed(*was, nullptr, gone);
    }
    const bool known = was != before.end() && (*was)->node == is->node;
    changed(known ? *was++ : nullptr, is, gone);
  }
  for (; was != before.end(); ++was) {
    changed(*was, nullptr, gone);
  }
  return gone;
}

const member* holder_index::find(const node_id& node) const {
  const auto found =
      std::lower_bound(by_node_.begin(), by_node_.end(), node,
                       [](const member* m, const node_id& key) { return m->node < key; });
  return found == by_node_.end() || (*found)->node != node ? nullptr : *found;
}

holder_index::model_entry& holder_index::entry_of(const digest& model, std::uint32_t layers) {
  const auto known = models_.find(model);
  if (known != models_.end() && known->second.layers == layers) {
    return known->second;
  }
  if (known != models_.end() || models_.size() >= limits::node_models_max) {
    models_.erase(known != models_.end() ? known : models_.begin());
  }
  model_entry& entry = models_[model];
  entry.layers = layers;
  entry.at.resize(layers);
  for (const member* m : by_node_) {
    if (alive(m)) {
      insert(entry, model, *m);
    }
  }
  return entry;
}

std::vector<layer_holding> holder_index::holders(const digest& model, std::uint32_t layers,
                                                 std::span<const layer_range> runs) {
  const model_entry& entry = entry_of(model, layers);
  std::vector<layer_holding> found;
  if (runs.size() == 1 && runs[0].size() == layers) {
    for (const auto& [node, ranges] : entry.ranges) {
      found.push_back({find(node), ranges});
    }
    return found;
  }
  std::set<node_id> some;
  for (const layer_range& run : runs) {
    for (layer_index l = run.first; l < run.last && l < layers; ++l) {
      some.insert(entry.at[l].begin(), entry.at[l].end());
    }
  }
  for (const node_id& node : some) {
    found.push_back({find(node), entry.ranges.at(node)});
  }
  return found;
}

layer_holding holder_index::holding(const digest& model, std::uint32_t layers,
                                    const node_id& node) {
  const model_entry& entry = entry_of(model, layers);
  const auto found = entry.ranges.find(node);
  return found == entry.ranges.end() ? layer_holding{} : layer_holding{find(node), found->second};
}

} // namespace ovir::actors
