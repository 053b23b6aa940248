#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace ovir::storage {

/// A run of bytes in the blocks file, both numbers multiples of `extent_map::unit`.
struct extent {
  std::uint64_t offset{0};
  std::uint64_t bytes{0};

  friend bool operator==(const extent&, const extent&) = default;
};

/// Which parts of a file are free, up to where it is used. Best fit: the smallest free run that is
/// large enough, so that large ones stay whole. Nothing of it is on the disk: it follows from the
/// index.
class extent_map {
public:
  /// No two entries share one, so that writing an entry cannot tear another.
  static constexpr std::uint64_t unit = 4'096;

  [[nodiscard]] static constexpr std::uint64_t rounded(std::uint64_t bytes) noexcept {
    return (bytes + unit - 1) / unit * unit;
  }

  /// Marks a run as taken. False, and nothing is changed, where any of it is taken already.
  [[nodiscard]] bool take(extent e);
  /// A run of `bytes` (a multiple of `unit`, not 0), below the end where there is one.
  [[nodiscard]] extent allocate(std::uint64_t bytes);
  /// Precondition: taken.
  void release(extent e);

  /// Up to here the file is in use.
  [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
  [[nodiscard]] std::uint64_t free_bytes() const noexcept { return free_bytes_; }
  /// By offset.
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& free_runs() const noexcept {
    return by_offset_;
  }

private:
  void add_free(extent e);
  void remove_free(extent e);

  std::map<std::uint64_t, std::uint64_t> by_offset_;          ///< offset to bytes
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_; ///< bytes, offset
  std::uint64_t end_{0};
  std::uint64_t free_bytes_{0};
};

} // namespace ovir::storage
