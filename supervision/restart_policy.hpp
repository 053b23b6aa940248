#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace ovir::supervision {

enum class verdict : std::uint8_t { restart, give_up };

/// Decides whether a crashed child may restart, and when: at most `restarts_max` times within any
/// `window`, each after twice the wait of the one before, as long as crashes follow one another
/// within the window. Owned by one supervisor; not thread-safe; no clock of its own.
class restart_policy {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::nanoseconds;

  restart_policy(std::size_t restarts_max, duration window);
  /// The first restart waits `backoff_first`, later ones double up to `backoff_max`.
  restart_policy(std::size_t restarts_max, duration window, duration backoff_first,
                 duration backoff_max);

  /// Records a crash. `now` must not precede the previous call's.
  [[nodiscard]] verdict on_crash(time_point now);

  /// How long the restart just granted should wait.
  [[nodiscard]] duration backoff() const;

private:
  std::size_t restarts_max_;
  duration window_;
  duration backoff_first_{0};
  duration backoff_max_{0};
  std::deque<time_point> restarts_; // oldest first, never longer than restarts_max_
};

} // namespace ovir::supervision
