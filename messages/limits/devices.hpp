#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of computing on devices (compute/devices).
namespace ovir::limits {

inline constexpr std::uint32_t device_platforms_max = 16; // asked of the OpenCL library
inline constexpr std::uint32_t devices_max = 64;          // of all platforms together
inline constexpr std::size_t device_text_bytes_max = 256; // a name or version that a driver states
inline constexpr std::size_t device_log_bytes_max =
    4'096; // of a failed build, as an error shows it
inline constexpr std::size_t device_program_bytes_max = std::size_t{64} << 20U; // a built program

inline constexpr std::chrono::milliseconds device_examination_wait{120'000}; // for all drivers
inline constexpr std::size_t device_findings_bytes_max = 256U << 10U;        // what they say

/// Rows that a device computes at once: longer prompts go in tiles.
inline constexpr std::uint32_t device_rows_max = 256;
/// Columns of a matrix whose activations a device quantises: their scales stand in local memory.
inline constexpr std::uint32_t device_columns_max = 32'768;
/// Scores of attention that stand in a device's memory at once. More rows go one after another.
inline constexpr std::size_t device_scores_bytes_max = std::size_t{64} << 20U;
/// Pages of K and V that a segment reserves at first; it doubles them when it needs more.
inline constexpr std::uint32_t device_pages_first = 64;

} // namespace ovir::limits
