#include "actors/placement/placement_spares.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

namespace ovir::actors {

namespace {

constexpr std::uint32_t disks_min = 2;

/// Of the pieces that a node fetches for the layer.
std::uint64_t layer_bytes(const model_shape& shape, std::size_t layer) {
  return shape.layer_weights[layer] + (layer == 0 ? shape.embedding : 0) +
         (layer + 1 == shape.layer_weights.size() ? shape.head : 0);
}

/// The disks of one model's nodes while its spare copies are given out.
class disk_plan {
public:
  disk_plan(const placeable_model& model, const std::vector<const placement_node*>& nodes,
            const placement_state& aim, std::size_t place, std::vector<std::uint64_t>& room)
      : model_(model), nodes_(nodes), room_(room), copies_(model.shape.layer_weights.size()) {
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      layer_marks marks = on_disk(*nodes[n], model);
      for (std::size_t i = 0; i < marks.size(); ++i) {
        marks[i] = marks[i] || aim.marks(n, place)[i];
        copies_[i] += marks[i] && nodes[n]->answers ? 1U : 0U;
      }
      disks_.push_back(std::move(marks));
    }
  }

  void write(std::vector<placement_order>& out) {
    layer_marks lacking(copies_.size());
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      lacking[i] = copies_[i] > 0 && copies_[i] < disks_min;
    }
    for (const layer_range& run : ranges_of(lacking)) {
      give(run, out);
    }
  }

private:
  void give(layer_range run, std::vector<placement_order>& out) {
    const auto able = static_cast<std::uint32_t>(
        std::count_if(nodes_.begin(), nodes_.end(),
                      [](const placement_node* node) { return node->takes_orders; }));
    const std::uint32_t part = able == 0 ? run.size() : (run.size() + able - 1) / able;
    while (run.size() > 0) {
      const auto to = taker(run.first);
      if (!to) {
        ++run.first; // another layer may have a node
        continue;
      }
      layer_range given{run.first, run.first};
      while (given.last < run.last && given.size() < part && takes(*to, given.last)) {
        room_[*to] -= layer_bytes(model_.shape, given.last);
        ++given.last;
      }
      out.push_back(
          {nodes_[*to]->node, model_.id, given, placement_act::spare, placement_reason::one_disk});
      run.first = given.last;
    }
  }

  [[nodiscard]] bool takes(std::size_t node, std::size_t layer) const {
    return nodes_[node]->takes_orders && !disks_[node][layer] &&
           room_[node] >= layer_bytes(model_.shape, layer);
  }

  /// With most room, of equals the first.
  [[nodiscard]] std::optional<std::size_t> taker(std::size_t layer) const {
    std::optional<std::size_t> best;
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      if (takes(n, layer) && (!best || room_[n] > room_[*best])) {
        best = n;
      }
    }
    return best;
  }

  const placeable_model& model_;
  const std::vector<const placement_node*>& nodes_;
  std::vector<std::uint64_t>& room_; ///< by node
  std::vector<layer_marks> disks_;   ///< by node
  std::vector<std::uint32_t> copies_;
};

} // namespace

layer_marks on_disk(const placement_node& node, const placeable_model& model) {
  layer_marks marks(model.shape.layer_weights.size());
  for (const placement_node::holdings* const some :
       {&node.held, &node.coming, &node.spares, &node.coming_spares}) {
    mark(marks, *some, model.id);
  }
  return marks;
}

std::vector<placement_order> spare_orders(const std::vector<placeable_model>& models,
                                          const std::vector<const placement_node*>& nodes,
                                          const placement_state& aim) {
  std::vector<std::uint64_t> room;
  std::transform(nodes.begin(), nodes.end(), std::back_inserter(room),
                 [](const placement_node* node) { return node->spare_room; });
  std::vector<placement_order> orders;
  for (std::size_t m = 0; m < models.size(); ++m) {
    if (models[m].wanted && models[m].copies >= disks_min) {
      disk_plan{models[m], nodes, aim, m, room}.write(orders);
    }
  }
  return orders;
}

} // namespace ovir::actors
