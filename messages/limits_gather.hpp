#pragma once

#include <chrono>
#include <cstdint>

namespace ovir::limits {

// A stage whose requests run in more groups than they need waits longer, once, so that two groups
// become one: as long as its last pass took, and never longer than this.
inline constexpr std::chrono::milliseconds regroup_wait_max{50};
// After a long wait in vain so many gatherings are brief again: 2, 4, and so on, at most this.
inline constexpr std::uint32_t regroup_backoff_max = 64;

// Where a model is cut, prompts share a pass up to so many rows, else up to `pass_rows_max`: with
// more, a pass takes nearly as much longer, and the next stage has nothing to do meanwhile.
inline constexpr std::uint32_t pass_rows_of_cut_max = 16;

} // namespace ovir::limits
