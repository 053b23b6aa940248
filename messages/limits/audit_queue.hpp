#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of what a verifier takes from one sender, and of all together (docs/formats/audit.md).
namespace ovir::limits {

// What waits
inline constexpr std::size_t audit_waiting_bytes_max = std::size_t{64} << 20U;
inline constexpr std::size_t audit_sender_bytes_max = std::size_t{16} << 20U;
inline constexpr std::size_t audit_sender_receipts_max = 128;
inline constexpr std::size_t audit_sender_questions_max = 32;
inline constexpr std::size_t audit_senders_max = 512; ///< remembered at once

// What is computed again. A sender that has used up its positions waits until some are back.
inline constexpr std::int64_t audit_positions_burst = 131'072;
inline constexpr std::int64_t audit_positions_per_minute = 32'768;

// What is of no use: convictions that do not hold or are of no member, tokens that do not count,
// bytes that are no message. A sender of more is disconnected and not listened to for a while.
inline constexpr std::uint32_t audit_useless_max = 64;
inline constexpr std::uint32_t audit_useless_refill = 8; ///< each minute
inline constexpr std::chrono::minutes audit_mute{10};
// Convictions, lists of them and reputations: in units of 64 KiB, begun ones whole.
inline constexpr std::uint32_t audit_news_max = 1'024;
inline constexpr std::uint32_t audit_news_refill = 16; ///< each second
inline constexpr std::size_t audit_news_unit_bytes = std::size_t{64} << 10U;

} // namespace ovir::limits
