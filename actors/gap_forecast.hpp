#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace ovir::actors {

/// How long a thread that takes jobs is sure to have none, from the gaps before the last jobs: the
/// shortest of them, so that one surprise ends the trust in a rhythm at once.
class gap_forecast {
public:
  /// Gaps remembered: some tokens' worth.
  static constexpr std::size_t gaps_max = 8;

  /// 0 until `gaps_max` gaps are known.
  [[nodiscard]] std::chrono::nanoseconds shortest() const {
    return *std::min_element(gaps_.begin(), gaps_.end());
  }

  void note(std::chrono::nanoseconds gap) {
    gaps_[next_] = gap;
    next_ = (next_ + 1) % gaps_max;
  }

private:
  std::array<std::chrono::nanoseconds, gaps_max> gaps_{};
  std::size_t next_{0};
};

} // namespace ovir::actors
