#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// What relays are paid for (ledger/rules/rules_accounts.cpp), and how they ask for it.
namespace ovir::limits {

/// A direction of a stream is paid in parts of so many bytes: each once.
inline constexpr std::uint64_t relay_part_bytes = std::uint64_t{64} << 20U;
inline constexpr std::uint64_t carried_bytes_max = std::uint64_t{1} << 50U; // of one stream
inline constexpr std::uint64_t relay_fee_max = 1'000'000;      // micro-credits for a MiB
inline constexpr std::uint64_t relay_bill_least = 256U << 10U; // bytes; less is not asked for
inline constexpr std::size_t relay_sessions_max = 16'384;      // of streams that a relay remembers
inline constexpr std::size_t bills_waiting_max = 4'096;        // of a relay; the oldest are dropped
inline constexpr std::chrono::seconds bill_retry{15};          // after a refusal that may pass
inline constexpr std::chrono::hours bill_lasts{24};            // then it is not asked for again

} // namespace ovir::limits
