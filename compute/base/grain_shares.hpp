#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ovir::compute {

/// A run of grains: [first, last), empty when they are equal.
struct grain_run {
  std::uint32_t first{0};
  std::uint32_t last{0};

  [[nodiscard]] bool empty() const noexcept { return first == last; }
};

/// The grains of one product, shared out among threads that may be of different speed. Each thread
/// takes runs of its own share from the front, ever shorter ones, so that it reads memory from
/// first to last; a thread whose share is used up takes from the end of another's. So all finish
/// within a short run of each other, whatever the system gives to others meanwhile. Every grain is
/// taken once.
class grain_shares {
public:
  /// Shares at most; more takers begin with one that others have as well.
  static constexpr std::size_t shares_max = 64;

  /// `grains` in `takers` shares of the same size; `takers` and `least`, the grains that are worth
  /// a run of their own, are at least 1.
  grain_shares(std::uint32_t grains, std::size_t takers, std::uint32_t least = 1) noexcept
      : count_{std::min(takers, shares_max)}, least_{least} {
    for (std::size_t i = 0; i < count_; ++i) {
      const auto first = static_cast<std::uint32_t>(grains * i / count_);
      const auto last = static_cast<std::uint32_t>(grains * (i + 1) / count_);
      shares_[i].left = word(first, last);
    }
  }

  /// The next run for taker `taker`, or an empty one when all are taken. Any thread may call this.
  [[nodiscard]] grain_run take(std::size_t taker) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      const grain_run run = take_from(shares_[(taker + i) % count_], i == 0);
      if (!run.empty()) {
        return run;
      }
    }
    return {};
  }

private:
  /// Of what is left of a share, how much is taken at once: one in so many.
  static constexpr std::uint32_t shortening = 4;

  struct alignas(64) share {
    std::uint64_t left; ///< the first grain left above the one behind the last
  };

  static constexpr std::uint64_t word(std::uint32_t first, std::uint32_t last) noexcept {
    return std::uint64_t{first} << 32U | last;
  }

  // Nothing but the word is shared: what was computed is seen after the end of the run.
  [[nodiscard]] grain_run take_from(share& from, bool front) const noexcept {
    const std::atomic_ref left{from.left};
    std::uint64_t seen = left.load(std::memory_order_relaxed);
    for (;;) {
      const auto first = static_cast<std::uint32_t>(seen >> 32U);
      const auto last = static_cast<std::uint32_t>(seen);
      if (first == last) {
        return {};
      }
      const std::uint32_t all = last - first;
      const std::uint32_t count =
          std::min(all, std::max(least_, (all + shortening - 1) / shortening));
      const grain_run run = front ? grain_run{first, first + count} : grain_run{last - count, last};
      const std::uint64_t rest = front ? word(run.last, last) : word(first, run.first);
      if (left.compare_exchange_weak(seen, rest, std::memory_order_relaxed)) {
        return run;
      }
    }
  }

  std::size_t count_;
  std::uint32_t least_;
  std::array<share, shares_max> shares_; // those beyond `count_` are never written
};

} // namespace ovir::compute
