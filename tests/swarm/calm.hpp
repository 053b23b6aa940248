#pragma once

#include "tests/swarm/plan.hpp"

#include <cstdint>

namespace ovir::swarm {

// Of each node in a calm run: a disk that fills within the day, and memory for so little of it that
// the disk is read.
inline constexpr std::uint64_t calm_store_bytes = std::uint64_t{1} << 30U;
inline constexpr std::uint64_t calm_memory_bytes = std::uint64_t{8} << 20U;

/// Hours in which clients ask all the time, mostly for something new, and little goes wrong.
[[nodiscard]] intensity calm_intensity(std::uint64_t hours);

/// Every node starts anew at least twice.
[[nodiscard]] plan draw_calm_plan(std::uint64_t seed, const intensity& how);

} // namespace ovir::swarm
