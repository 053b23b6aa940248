#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of groups of nodes that hold one segment together (compute/parts).
namespace ovir::limits {

inline constexpr std::size_t group_members_max = 16;
/// Of a member's share of a segment, in parts of the sum of all: any unit will do, tokens per
/// second for one.
inline constexpr std::uint32_t group_share_max = 1U << 20U;
/// Passes of at most so many rows send activations as floats where their cut leaves the choice:
/// one exchange less is then worth more than three quarters of the bytes.
inline constexpr std::uint32_t group_float_rows = 4;

} // namespace ovir::limits
