#pragma once

#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Which of the nodes that hold layers of a model a plan looks at. Pure.
namespace ovir::actors {

/// A range of layers that a node can compute for a request, and what that costs there.
struct layer_holder {
  node_id node;
  layer_range layers;
  std::uint32_t at_once{0};    ///< most layers of a stage there, for its memory; 0: none
  double layer_seconds{0};     ///< per token and layer: computing, what waits, price
  double hand_over_seconds{0}; ///< per token: what a stage there costs beside its layers
};

/// The ranges of one node as stages may use them: those that overlap are one, and what is no range
/// of a model of `layers` layers is left out. In order. Ranges that only touch stay apart: a stage
/// lies within one of them.
[[nodiscard]] std::vector<layer_range> merged_ranges(std::vector<layer_range> held,
                                                     std::uint32_t layers);

/// The holders that a path over `runs` is searched among, as ascending indices. `runs`: layers in
/// order, none overlap. All that hold some of them where these are `few` or fewer. Else:
/// 1. The fewest whose ranges and memory cover the runs together, so that no layer loses its last
///    holder. They alone may be more than `most`.
/// 2. The cheapest of each layer, limits::path_holders_per_layer of them, by the cost of a layer
/// and
///    its share of the hand-over in the longest stage there. Who can hold a part of its range only
///    counts as that part of a holder.
/// 3. Likewise limits::path_holders_for_one_layer by the cost of a stage of one layer, for ranges
///    that are short.
/// Where these are more than `most`, half as many of each layer, and so on. Of the second and third
/// kind no node has more than limits::plan_ranges_per_node_max. Those without memory for one layer
/// are chosen only where a layer has no others. Of equals, the one with the lower key; the order of
/// the holders does not matter.
[[nodiscard]] std::vector<std::size_t> chosen_holders(std::span<const layer_holder> holders,
                                                      std::span<const layer_range> runs,
                                                      std::size_t few, std::size_t most);

} // namespace ovir::actors
