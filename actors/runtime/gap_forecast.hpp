#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

namespace ovir::actors {

/// How long a thread that takes jobs is sure to have none, from the gaps before the last jobs: the
/// shortest of those that followed a gap of the same kind, brief or not, so that one surprise ends
/// the trust in a rhythm at once. Groups of requests that come one behind the other over slow links
/// leave a brief gap and a long one in turn.
class gap_forecast {
public:
  /// Gaps remembered of each kind: some tokens' worth.
  static constexpr std::size_t gaps_max = 8;
  /// Shorter ones are brief.
  static constexpr std::chrono::milliseconds brief{3};

  /// 0 until `gaps_max` gaps after one of the last one's kind are known.
  [[nodiscard]] std::chrono::nanoseconds shortest() const {
    const gaps& such = after_brief_ ? behind_brief_ : behind_long_;
    return *std::min_element(such.last.begin(), such.last.end());
  }

  /// How long one is worth waiting for awake: the longest of those gaps but one, because the pause
  /// after a request is among them and says nothing of the next. 0 until as many are known.
  [[nodiscard]] std::chrono::nanoseconds longest_but_one() const {
    if (shortest().count() == 0) {
      return {};
    }
    auto sorted = (after_brief_ ? behind_brief_ : behind_long_).last;
    std::nth_element(sorted.begin(), sorted.end() - 2, sorted.end());
    return *(sorted.end() - 2);
  }

  void note(std::chrono::nanoseconds gap) {
    gaps& such = after_brief_ ? behind_brief_ : behind_long_;
    such.last[such.next] = gap;
    such.next = (such.next + 1) % gaps_max;
    after_brief_ = gap < brief;
  }

private:
  struct gaps {
    std::array<std::chrono::nanoseconds, gaps_max> last{};
    std::size_t next{0};
  };

  gaps behind_long_;
  gaps behind_brief_;
  bool after_brief_{false};
};

} // namespace ovir::actors
