#pragma once

#include <cstdint>

/// Bounds on mixtures of experts.
namespace ovir::limits {

inline constexpr std::uint32_t experts_max = 512;     // of a layer
inline constexpr std::uint32_t experts_used_max = 64; // by one row

/// Experts are computed together until they have as many rows, or as many as the pass, if that is
/// more: bounds memory, and leaves parts large enough for every thread.
inline constexpr std::uint32_t expert_group_rows = 64;

} // namespace ovir::limits
