#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of fetching weights from other nodes, beside those of `messages/limits/general.hpp`.
namespace ovir::limits {

inline constexpr std::uint64_t fetch_window_bytes_max = 64U << 20U; // asked for and not yet here
inline constexpr std::uint64_t fetch_window_bytes_min = 1U << 20U;
// A piece is at most 1 MiB of a tensor; only a tokenizer, which is one piece, may be larger.
inline constexpr std::size_t fetch_piece_bytes_max = 32U << 20U;
inline constexpr std::size_t fetch_manifest_bytes_max = 32U << 20U;
inline constexpr std::size_t fetch_frame_bytes_max = fetch_piece_bytes_max + (4U << 10U);
inline constexpr std::uint32_t fetch_pieces_max = 1U << 21U; // of a model: 2 TiB
inline constexpr std::size_t fetch_asked_max = 64;           // pieces in one message
inline constexpr std::size_t fetch_ranges_max = 4'096;       // of pieces a source says it has
inline constexpr std::size_t fetch_sources_max = 16;         // of one fetch at a time
// In flight between one source and one asker; or one piece, whichever is more.
inline constexpr std::uint64_t fetch_source_bytes_max = 16U << 20U;
inline constexpr std::uint32_t fetch_asks_per_piece_max = 32; // then the fetch fails
inline constexpr std::uint32_t fetch_source_drops_max = 3; // for being slow; for wrong bytes: once
inline constexpr std::chrono::milliseconds fetch_words_wait{
    5'000};                                                     // between words on how far it is
inline constexpr std::size_t fetches_max = 8;                   // a node's at one time
inline constexpr std::uint64_t fetch_rate_mib_max = 1U << 20U;  // per second, in configurations
inline constexpr std::uint64_t fetch_spare_mib_max = 1U << 30U; // 1 PiB
// A source that owes a piece and sends nothing for so long is dropped; large pieces take longer.
inline constexpr std::chrono::milliseconds fetch_stall_wait{10'000};
// A source is slow when it stays below this rate for a review while another is 8 times as fast.
inline constexpr std::uint64_t fetch_slow_bytes_per_second = 256U << 10U;
inline constexpr std::uint32_t fetch_slow_factor = 8;
inline constexpr std::chrono::milliseconds fetch_review{5'000};
// An ordered fetch with no source for so long fails; a configured one goes on waiting.
inline constexpr std::chrono::milliseconds fetch_source_wait{60'000};
inline constexpr std::chrono::milliseconds fetch_contact_wait{1'000}; // between two tries of a node
inline constexpr std::chrono::milliseconds fetch_retry_wait{
    10'000}; // of a configured one that failed

// Files of weights are hashed again: so many bytes, and small pieces, every so long.
inline constexpr std::chrono::milliseconds scrub_interval{10'000};
inline constexpr std::uint64_t scrub_bytes = 16U << 20U; // 1.6 MB/s
inline constexpr std::size_t scrub_pieces = 1'024;

// The channel weights travel on.
inline constexpr std::size_t bulk_send_bytes_max = 20U << 20U;
inline constexpr std::size_t bulk_receive_bytes_max = 16U << 20U;
inline constexpr std::size_t bulk_connections_served_max = 64; // that a node serves at one time
inline constexpr std::size_t pieces_waiting_max = 128;         // of one asker, to be served

} // namespace ovir::limits
