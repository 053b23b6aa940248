#pragma once

#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Which of the nodes that hold layers of a model a plan looks at. Pure.
namespace ovir::actors {

/// Layers that a node can compute for a request.
struct layer_holder {
  node_id node;
  layer_range layers;
  double speed{0}; ///< the higher, the sooner it is chosen
};

/// The ranges of one node as stages may use them: those that overlap are one, and what is no range
/// of a model of `layers` layers is left out. In order. Ranges that only touch stay apart: a stage
/// lies within one of them.
[[nodiscard]] std::vector<layer_range> merged_ranges(std::vector<layer_range> held,
                                                     std::uint32_t layers);

/// At most `most` of the holders, as ascending indices: all where there are no more. Else first the
/// fewest whose ranges cover the model together, so that no layer loses its last holder. Then, as
/// long as there is room, the fastest holder of the layer that has the fewest so far, at most
/// limits::plan_ranges_per_node_max of a node. Empty where more than `most` are needed to cover the
/// model. Where no holders cover it, layers without a holder count as covered.
[[nodiscard]] std::vector<std::size_t> chosen_holders(std::span<const layer_holder> holders,
                                                      std::uint32_t layers, std::size_t most);

} // namespace ovir::actors
