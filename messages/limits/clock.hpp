#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// How far the time of a ledger follows its keeper's wall clock (ledger/keeper/ledger_clock.hpp).
namespace ovir::limits {

/// A wall clock that is ahead is approached by one second in so many.
inline constexpr std::uint64_t ledger_clock_slew = 16;
/// A wall clock that is so far off is told; a smaller step is waited for, or caught up with.
inline constexpr std::uint64_t ledger_clock_told_s = 60;
/// A keeper that was off for so long goes on by itself; beyond, an operator says that its clock is
/// right.
inline constexpr std::uint64_t ledger_clock_gap_s_max = 86'400;
/// What an operator says of the time is good for a clock this near to it.
inline constexpr std::uint64_t ledger_clock_word_s = 3'600;
/// Releases, unlockings and expirations that time alone makes possible, in a second of real time.
inline constexpr std::uint64_t ledger_due_per_second_max = 1'024;
inline constexpr std::chrono::seconds ledger_clock_kept_every{60}; ///< on the keeper's disk
inline constexpr std::chrono::minutes ledger_clock_told_every{10}; ///< while it is off
inline constexpr std::size_t ledger_clock_file_bytes_max = 32;

} // namespace ovir::limits
