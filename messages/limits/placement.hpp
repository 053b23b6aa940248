#pragma once

#include <chrono>
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

// A node keeps room for a request of so many positions, or of what the model promises if that is
// less: longer ones take what is left.
inline constexpr std::uint32_t placement_positions_max = 2'048;

// A node that does not answer is counted for so long as if it held what it held: one that was
// restarted is back by then.
inline constexpr std::chrono::milliseconds placement_patience{5'000};
// Second copies are made once no node has come or gone for so long.
inline constexpr std::chrono::milliseconds placement_calm{30'000};
// Whoever becomes a model's placer waits for so long, until others have heard of it, too.
inline constexpr std::chrono::milliseconds placement_takeover{3'000};
// An order is given again after so long, while it has not led to what it asks for.
inline constexpr std::chrono::milliseconds placement_repeat{20'000};
// A model is unloaded after nobody has asked for it for so long.
inline constexpr std::chrono::hours placement_idle{24};
// A scheduler tells the others that a model is asked for, and then not again for so long.
inline constexpr std::chrono::minutes placement_asked_wait{10};
// Orders under way, of one placer.
inline constexpr std::size_t placement_orders_max = 256;

} // namespace ovir::limits
