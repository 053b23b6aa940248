#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace ovir::actors {

/// What a round trip to a member usually takes: the median of the latest ones. One that met a busy
/// moment changes nothing; a link that became longer is known by the fourth.
class round_trips {
public:
  using duration = std::chrono::microseconds;

  void add(duration took) noexcept {
    latest_[seen_ % kept] = took;
    ++seen_;
  }
  /// The upper one of the two in the middle. Absent before the first.
  [[nodiscard]] std::optional<duration> usual() const {
    const std::size_t count = std::min(seen_, kept);
    if (count == 0) {
      return std::nullopt;
    }
    std::array<duration, kept> sorted = latest_;
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return sorted[count / 2];
  }

private:
  static constexpr std::size_t kept = 7;

  std::array<duration, kept> latest_{};
  std::size_t seen_{0};
};

} // namespace ovir::actors
