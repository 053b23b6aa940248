#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of federated rounds (docs/formats/rounds.md).
namespace ovir::limits {

inline constexpr std::uint32_t round_members_max = 256;
inline constexpr std::uint32_t round_numbers_max = 1U << 22U; // of an update
inline constexpr std::uint8_t round_quantum_bits_max = 40;
inline constexpr std::uint32_t round_clip_units_max = 1U << 20U;       // L2 norm, in quanta
inline constexpr std::uint64_t round_variance_max = 1ULL << 40U;       // of a worker, in quanta^2
inline constexpr std::int64_t round_value_max = std::int64_t{1} << 52; // a number with its noise
inline constexpr std::uint8_t round_delta_bits_max = 100;
inline constexpr std::size_t round_text_bytes_max = 1'024; // settings, reasons
inline constexpr std::size_t round_adapter_bytes_max = 24U << 20U;
inline constexpr std::size_t round_letter_bytes_max = (32U << 20U) + (64U << 10U); // a frame
// Parts of a journal: letters of all members, and the ends of phases.
inline constexpr std::size_t round_journal_entries_max = 8 * round_members_max;
// Self-masks and keys are rebuilt from so many choices of shares at most, until one is right.
inline constexpr std::uint32_t round_rebuilds_max = round_members_max;

// The sum of the largest cohort is far from 2^63, so no other sum has the same 64 bits.
static_assert(8ULL * round_numbers_max + 1'024 <= round_letter_bytes_max);
static_assert(round_members_max * static_cast<std::uint64_t>(round_value_max) < (1ULL << 62U));

} // namespace ovir::limits
