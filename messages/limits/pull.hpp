#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of fetching model files over HTTP (`ovir model pull`).
namespace ovir::limits {

inline constexpr std::size_t url_bytes_max = 4'096;
inline constexpr std::uint32_t pull_redirects_max = 10;
inline constexpr std::uint32_t pull_tries_max = 5; // in a row, without a byte that is new
inline constexpr std::uint32_t pull_restarts_max =
    3; // because the file changed, or its server lied
inline constexpr std::uint64_t pull_file_bytes_max = std::uint64_t{1} << 40U;
inline constexpr std::size_t pull_header_bytes_max = 64U << 10U;
inline constexpr std::size_t pull_piece_bytes = 1U << 20U;
inline constexpr std::size_t pull_note_bytes_max = 16U << 10U;
inline constexpr std::size_t pull_validator_bytes_max = 1'024; // of an ETag or a date
inline constexpr std::chrono::milliseconds pull_connect_wait{15'000};
inline constexpr std::chrono::milliseconds pull_silence_wait{60'000};
inline constexpr std::chrono::milliseconds pull_retry_wait{500}; // doubled from try to try
inline constexpr std::size_t pull_split_files_max = 1'024;

} // namespace ovir::limits
