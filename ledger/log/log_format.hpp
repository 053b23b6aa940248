#pragma once

#include "messages/digest.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/result.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// The bytes around entries in a log's file (docs/formats/ledger-log.md).
namespace ovir::ledger {

inline constexpr std::size_t sector_bytes = 512; ///< written whole or not at all, as disks promise
inline constexpr std::size_t check_bytes = 8;
inline constexpr std::size_t batch_head_bytes = 64;
inline constexpr std::size_t entry_frame_bytes = 4 + check_bytes; ///< length before, check after
inline constexpr std::byte padding{0xa5};                         ///< no sector of a batch is zero

inline constexpr std::uint64_t block_leaves = 256; ///< one root in memory for so many

struct batch_head {
  std::uint32_t entries{0};
  std::uint64_t first{0}; ///< index of its first entry
  std::uint64_t bytes{0}; ///< of entries with their frames
  digest chain;           ///< before its first entry
  friend bool operator==(const batch_head&, const batch_head&) = default;
};

[[nodiscard]] std::array<std::byte, batch_head_bytes> to_bytes(const batch_head& head);
/// Nothing unless it checks and its counts are within their bounds.
[[nodiscard]] std::optional<batch_head> batch_head_from(std::span<const std::byte> bytes);

/// The first sector of the file.
[[nodiscard]] std::array<std::byte, sector_bytes> file_head();
/// `malformed` for another kind of file, `unsupported` for another version.
[[nodiscard]] result<void> check_file_head(std::span<const std::byte> bytes);

/// Of a batch, with its head and padding.
[[nodiscard]] constexpr std::uint64_t padded(std::uint64_t bytes) noexcept {
  return (bytes + sector_bytes - 1) / sector_bytes * sector_bytes;
}
[[nodiscard]] inline bool all_zero(std::span<const std::byte> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

} // namespace ovir::ledger
