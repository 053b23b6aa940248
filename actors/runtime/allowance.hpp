#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace ovir::actors {

/// How much someone may do: full at first, filled up again by `refill` each `period`, never above
/// `capacity`. Times are handed in; an earlier time than before refills nothing.
class allowance {
public:
  using time_point = std::chrono::steady_clock::time_point;

  allowance(std::uint32_t capacity, std::uint32_t refill, std::chrono::milliseconds period)
      : capacity_(capacity), refill_(refill), period_(period), left_(capacity) {}

  [[nodiscard]] bool has(std::uint32_t amount, time_point now) {
    fill(now);
    return left_ >= amount;
  }
  /// False when there was less; then nothing is left.
  bool spend(std::uint32_t amount, time_point now) {
    const bool enough = has(amount, now);
    left_ -= enough ? amount : left_;
    return enough;
  }

  /// As much of `amount` as there is.
  [[nodiscard]] std::uint32_t spend_up_to(std::uint32_t amount, time_point now) {
    fill(now);
    const std::uint32_t spent = std::min(amount, left_);
    left_ -= spent;
    return spent;
  }

private:
  void fill(time_point now) {
    if (!filled_once_) {
      filled_once_ = true;
      filled_ = now;
    }
    if (now < filled_ + period_) {
      return;
    }
    const std::int64_t periods = (now - filled_) / period_;
    filled_ += periods * period_;
    const std::uint32_t room = (capacity_ - left_ + refill_ - 1) / refill_;
    left_ = periods >= room ? capacity_ : left_ + static_cast<std::uint32_t>(periods) * refill_;
  }

  std::uint32_t capacity_;
  std::uint32_t refill_;
  std::chrono::milliseconds period_;
  std::uint32_t left_;
  bool filled_once_{false};
  time_point filled_{};
};

} // namespace ovir::actors
