#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of the cache of prefixes and answers, beside those of `messages/limits/general.hpp`.
namespace ovir::limits {

inline constexpr std::size_t kv_block_bytes_max = 16U << 20U;    // a window of K and V of one layer
inline constexpr std::size_t answer_bytes_max = 64U << 20U;      // a finished answer as a record
inline constexpr std::uint64_t answers_disk_bytes = 256U << 20U; // of a node's, in all
// A block of another node that nobody computed here is used so often; then it is computed again.
inline constexpr std::uint32_t claimed_uses_max = 16;
// Blocks of others whose uses are counted; beyond, they are computed.
inline constexpr std::size_t claims_kept_max = 1U << 18U;
inline constexpr std::size_t unit_costs_max = 64;          // models whose units' costs are known
inline constexpr std::size_t answer_draws_max = 1U << 20U; // tokens of one
// What one lookup brings back at a time: at least one window, and then no more than this.
inline constexpr std::size_t cache_lookup_bytes_max = 32U << 20U;
// How long a stage or a lead waits for an answer of the cache before it computes.
inline constexpr std::chrono::seconds cache_wait_max{10};
// What waits to be written to the disk; more is kept in memory only.
inline constexpr std::size_t cache_write_queue_bytes_max = 256U << 20U;
inline constexpr std::size_t cache_batch_bytes_max = 64U << 20U; // of one commit
inline constexpr std::chrono::milliseconds cache_commit_pause{50};
// A request that computes a prefix others wait for, and makes no progress for so long, is not
// waited for any more.
inline constexpr std::chrono::seconds flight_wait_max{10};
inline constexpr std::chrono::milliseconds flight_tick{500};
// Requests that may wait for others' prefixes; one more computes for itself.
inline constexpr std::size_t flights_waiting_max = 1'024;

} // namespace ovir::limits
