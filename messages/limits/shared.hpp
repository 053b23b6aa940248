#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of memory that two processes of one machine share (actors/shared) and of busy reading.
namespace ovir::limits {

inline constexpr std::size_t shared_ring_bytes = 1U << 20U; // of one direction; a power of two
inline constexpr std::size_t shared_links_max = 64;         // others stay with TCP
/// A copy is shown to the reader in parts of this size, so that it copies while the writer does.
inline constexpr std::size_t shared_part_bytes = 64U << 10U;
// Greetings that came and are not yet understood; the oldest makes room.
inline constexpr std::size_t shared_greetings_max = 32;
inline constexpr std::chrono::milliseconds shared_greeting_wait{2'000};
// How often deadlines are looked at while something is under way.
inline constexpr std::chrono::milliseconds shared_watch_interval{250};

// Turns of the thread in which something moved, until it looks who else wants something.
inline constexpr std::uint32_t shared_turns_max = 64;

/// What an owner may allow threads to spin for the next message.
inline constexpr std::chrono::microseconds busy_read_max{10'000};

static_assert((shared_ring_bytes & (shared_ring_bytes - 1)) == 0);

} // namespace ovir::limits
