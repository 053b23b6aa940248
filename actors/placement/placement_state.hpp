#pragma once

#include "actors/placement/placement.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::actors {

/// Layers of one model on one node, by layer.
using layer_marks = std::vector<bool>;

[[nodiscard]] std::vector<layer_range> ranges_of(const layer_marks& marks);
/// Marks the layers of the model that are among these.
void mark(layer_marks& marks, const placement_node::holdings& held, const digest& model);
/// Bytes that a node needs for these layers: weights, and for each of `ranges` what a stage of
/// `positions` positions takes beside them.
[[nodiscard]] std::uint64_t bytes_of(const placeable_model& model, const layer_marks& marks);

/// Who holds what while a placement is worked out: bytes and copies follow every change.
class placement_state {
public:
  /// Of what the nodes hold; `coming`: also of what they fetch.
  placement_state(const std::vector<placeable_model>& models,
                  const std::vector<const placement_node*>& nodes, bool coming);

  [[nodiscard]] std::size_t nodes() const noexcept { return marks_.size(); }
  [[nodiscard]] const layer_marks& marks(std::size_t node, std::size_t model) const {
    return marks_[node][model];
  }
  [[nodiscard]] std::uint32_t copies(std::size_t model, std::size_t layer) const {
    return copies_[model][layer];
  }
  [[nodiscard]] const std::vector<std::uint32_t>& copies(std::size_t model) const {
    return copies_[model];
  }
  [[nodiscard]] std::uint64_t used(std::size_t node) const { return used_[node]; }
  /// Bytes the node needs when it holds these layers of the model instead.
  [[nodiscard]] std::uint64_t used_with(std::size_t node, std::size_t model,
                                        const layer_marks& instead) const;
  void set(std::size_t node, std::size_t model, layer_marks instead);

  /// Whether distinct nodes can hand all layers of the model on, each with one stretch of them.
  /// Where they cannot: the first layer that no path reaches over the nodes of the longest one.
  struct reach {
    std::uint32_t layer{0};        ///< the first that is not reached; all: the model is served
    std::vector<std::size_t> over; ///< nodes of that path that have several ranges
  };
  [[nodiscard]] reach reached(std::size_t model) const;

private:
  const std::vector<placeable_model>* models_;
  std::vector<std::vector<layer_marks>> marks_;    ///< [node][model]
  std::vector<std::vector<std::uint64_t>> bytes_;  ///< [node][model]
  std::vector<std::uint64_t> used_;                ///< by node
  std::vector<std::vector<std::uint32_t>> copies_; ///< [model][layer]
};

} // namespace ovir::actors
