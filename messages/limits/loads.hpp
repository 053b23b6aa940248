#pragma once

#include <chrono>
#include <cstddef>

/// The bounds of weights that a scheduler has fetched, beside those of `messages/limits/fetch.hpp`.
namespace ovir::limits {

// A request waits for so long for somebody who holds the layers it lacks, before a node is ordered
// to fetch them: one that was restarted is back by then.
inline constexpr std::chrono::milliseconds load_patience{5'000};
// An order that has not led to the layers being held by then is void.
inline constexpr std::chrono::minutes load_wait_max{60};
// A node that refused or failed is not asked for layers of that model for so long.
inline constexpr std::chrono::milliseconds load_retry_wait{60'000};
// Orders that stand at one time, of a scheduler.
inline constexpr std::size_t load_orders_max = 64;
// Orders that a node carries out at one time; it refuses more.
inline constexpr std::size_t loads_carried_max = 8;

} // namespace ovir::limits
