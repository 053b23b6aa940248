#pragma once

#include <cstddef>
#include <cstdint>

/// The bounds of the content store, beside those of `messages/limits/general.hpp`.
namespace ovir::limits {

inline constexpr std::uint64_t store_entry_bytes_max = 256U << 20U; // read into memory whole
inline constexpr std::uint64_t store_index_bytes_max = std::uint64_t{1} << 38U;
inline constexpr std::uint64_t store_blocks_bytes_max = std::uint64_t{1} << 50U;
inline constexpr std::uint64_t store_index_map_first = 16U << 20U; // then it doubles
inline constexpr std::size_t store_changes_max = 4'096;            // of one batch
inline constexpr std::size_t store_keys_per_entry_max = 8;
inline constexpr std::size_t store_notes_max = 16'384;    // uses told and not yet written
inline constexpr std::size_t store_eviction_sample = 32;  // entries looked at per eviction
inline constexpr std::size_t store_victims_max = 256;     // found by one pass over a kind
inline constexpr std::size_t store_read_attempts_max = 8; // before a lookup gives up: a miss
inline constexpr std::uint64_t store_retry_seconds = 30;  // after the disk was full
inline constexpr std::uint64_t store_free_bytes_kept = 64U << 20U; // not given back to the disk

} // namespace ovir::limits
