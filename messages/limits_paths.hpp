#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of how requests find their paths, beside `plan_nodes_max` and `repair_states_max` of
/// `messages/limits.hpp`.
namespace ovir::limits {

// Ranges of layers of one node that a plan looks at beside those that no other node holds. An
// honest node holds one or two.
inline constexpr std::size_t plan_ranges_per_node_max = 4;

} // namespace ovir::limits
