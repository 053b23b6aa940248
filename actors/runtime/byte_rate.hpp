#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace ovir::actors {

/// Bytes per second: what is spent is made good by time. Goes into debt by at most one spending,
/// and saves up at most a tenth of a second, so that any second sees the rate, a tenth of it and
/// one spending more at most. Times are handed in; an earlier time than before changes nothing.
class byte_rate {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// 0: no limit.
  explicit byte_rate(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  /// Whether something may be spent now.
  [[nodiscard]] bool ready(time_point now) {
    if (rate_ == 0) {
      return true;
    }
    fill(now);
    return left_ > 0;
  }
  void spend(std::uint64_t bytes) { left_ -= static_cast<double>(bytes); }

private:
  void fill(time_point now) {
    const double rate = static_cast<double>(rate_);
    if (!begun_) {
      begun_ = true;
      filled_ = now;
      left_ = rate / 10;
    }
    if (now > filled_) {
      const double seconds = std::chrono::duration<double>(now - filled_).count();
      left_ = std::min(left_ + rate * seconds, rate / 10);
      filled_ = now;
    }
  }

  std::uint64_t rate_;
  double left_{0};
  bool begun_{false};
  time_point filled_{};
};

} // namespace ovir::actors
