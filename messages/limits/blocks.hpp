#pragma once

#include "messages/limits/cache.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of reuse between nodes, beside those of `messages/limits/cache.hpp`.
namespace ovir::limits {

// A node's claims: a filter over the names of the blocks it has. 10 bits a name and 7 probes are
// wrong once in a hundred and twenty.
inline constexpr std::size_t block_filter_bytes_max = 64U << 10U;
inline constexpr std::size_t block_filter_bytes_min = 64;
inline constexpr std::size_t block_filter_bits_per_name = 10;
inline constexpr std::uint32_t block_filter_probes = 7;
inline constexpr std::size_t block_claims_bytes_max = block_filter_bytes_max + 64;
// Names a node can claim: those it used last.
inline constexpr std::size_t blocks_claimed_max =
    block_filter_bytes_max * 8 / block_filter_bits_per_name;
// Claims go to each linked member when they changed, at most so many bytes a second on average.
inline constexpr std::uint64_t block_claims_bytes_per_second = 16U << 10U;
inline constexpr std::chrono::milliseconds block_claims_tick{250};
inline constexpr std::size_t block_claimants_max = 64; // members whose claims are kept

// A message that carries blocks: one at a time.
inline constexpr std::size_t block_frame_bytes_max = kv_block_bytes_max + 64;
inline constexpr std::size_t blocks_asked_max = 256; // in one message
// Asked of one member and not here yet; or one block, whichever is more.
inline constexpr std::size_t block_source_bytes_max = 8U << 20U;
inline constexpr std::size_t block_source_asked_max = 512; // likewise, in blocks
// That one connection may have waiting here to be served.
inline constexpr std::size_t blocks_waiting_max = 2 * block_source_asked_max;
inline constexpr std::size_t block_fetches_max = 64; // of a node at one time; more compute
// What one lookup brings from others at a time.
inline constexpr std::size_t block_fetch_bytes_max = 64U << 20U;
// A fetch that is not done by then gives what came; the rest is computed. Less than a lead's slack
// (slack_min): a stage that waits for blocks is not lost.
inline constexpr std::chrono::milliseconds block_fetch_wait{1'200};
// Who has not sent a block it was asked for by then is not asked again by this fetch.
inline constexpr std::chrono::milliseconds block_stall_wait{500};
// After wrong bytes nothing is asked of a member for so long.
inline constexpr std::chrono::minutes block_liar_pause{60};
inline constexpr std::size_t block_decisions_kept = 64; // for those who ask why
// Of a member that sent nothing yet.
inline constexpr std::uint64_t block_rate_assumed = 64U << 20U; // bytes per second
inline constexpr std::chrono::microseconds block_delay_assumed{2'000};

} // namespace ovir::limits
