#pragma once

#include <chrono>
#include <cstdint>

namespace ovir::limits {

// A stage whose requests run in more groups than they need waits longer, once, so that two groups
// become one: as long as its last pass took, and never longer than this.
inline constexpr std::chrono::milliseconds regroup_wait_max{50};
// After a long wait in vain so many gatherings are brief again: 2, 4, and so on, at most this.
inline constexpr std::uint32_t regroup_backoff_max = 64;

// A stage that was at rest before waits so much of its last pass's time for the rest of a group,
// not only one part in `gather_divisor`: it has time, and a group that is torn comes back torn.
inline constexpr std::uint32_t gather_divisor_at_rest = 2;

// A stage that had nothing to do for this share of its last pass's time begins a burst of passes.
// Where not all who decode came in one burst, a first stage waits for all of them, once: as long as
// the first of them was away, and never longer than this.
inline constexpr std::uint32_t burst_gap_divisor = 4;
inline constexpr std::chrono::milliseconds muster_wait_max{500};
// After such a wait so many bursts begin without one: 1, 2, 4, and so on, at most this.
inline constexpr std::uint32_t muster_backoff_max = 256;

// How many passes later than at once a step is due at a stage: that of a request with a deadline
// from none to `slack_usual`, by how much time it has to spare; of one without, `slack_usual`; of
// batch work, `slack_batch`. Who is due first goes first, so that none waits for ever.
inline constexpr std::uint16_t slack_usual = 4;
inline constexpr std::uint16_t slack_batch = 64;

// Where a model is cut, prompts share a pass up to so many rows, else up to `pass_rows_max`: with
// more, a pass takes nearly as much longer, and the next stage has nothing to do meanwhile.
inline constexpr std::uint32_t pass_rows_of_cut_max = 16;

} // namespace ovir::limits
