#pragma once

#include <cstddef>
#include <functional>

namespace ovir::compute {

/// Runs the parts of one step of a computation, possibly at the same time. Implemented outside the
/// cores (by a thread pool, or in order on the caller's thread), because cores own no threads.
class parallel_runner {
public:
  virtual ~parallel_runner() = default;

  /// How many parts run at once at best; at least 1. Splitting finer gains nothing.
  [[nodiscard]] virtual std::size_t width() const noexcept = 0;

  /// Calls `part(i)` once for every i < count and returns when all are done. Parts must write
  /// disjoint memory and must not throw. Results never depend on `width`.
  virtual void run(std::size_t count, const std::function<void(std::size_t)>& part) = 0;
};

/// Everything on the calling thread, in order.
class serial_runner final : public parallel_runner {
public:
  [[nodiscard]] std::size_t width() const noexcept override { return 1; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    for (std::size_t i = 0; i < count; ++i) {
      part(i);
    }
  }
};

/// Part `index` of `count` of the range [0, total), in steps of `grain`: first and last.
struct slice {
  std::size_t first;
  std::size_t last;
};
[[nodiscard]] constexpr slice slice_of(std::size_t total, std::size_t grain, std::size_t index,
                                       std::size_t count) noexcept {
  const std::size_t grains = (total + grain - 1) / grain;
  const std::size_t first = grains * index / count * grain;
  const std::size_t last = grains * (index + 1) / count * grain;
  return {first < total ? first : total, last < total ? last : total};
}

} // namespace ovir::compute
