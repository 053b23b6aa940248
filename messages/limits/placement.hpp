#pragma once

#include <cstddef>
#include <cstdint>

/// The bounds of who holds which layers.
namespace ovir::limits {

// Copies of a layer that are asked for at most, whatever the demand.
inline constexpr std::uint32_t placement_copies_max = 8;
// Separate ranges of layers of one model on one node.
inline constexpr std::size_t placement_ranges_max = 4;
// Nodes that are laid out anew, end to end, where the layers that lack cannot be added.
inline constexpr std::size_t placement_layout_nodes_max = 48;
// Partial paths that are looked at to see whether a placement serves its model.
inline constexpr std::size_t placement_paths_max = 4096;

} // namespace ovir::limits
