#pragma once

#include "bench/netdelay/descriptor.hpp"
#include "bench/netdelay/limits.hpp"

#include <functional>
#include <vector>

namespace ovir::netdelay {

/// Calls back when descriptors can be read. One thread, which sleeps in epoll otherwise.
class reactor {
public:
  reactor();
  /// `when_readable` is called as long as there is something to read. `fd` stays the caller's and
  /// must outlive `run`.
  void watch(int fd, std::function<void()> when_readable);
  /// Until a callback calls `stop`.
  void run();
  void stop() { running_ = false; }

private:
  descriptor epoll_;
  std::vector<std::function<void()>> callbacks_;
  bool running_{false};
};

/// A timer that is precise to the kernel's clock, not to its ticks.
class timer {
public:
  timer(reactor& in, std::function<void()> when_due);
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  /// Replaces what was set before. A time that has passed is due at once.
  void set(instant due);

private:
  descriptor fd_;
};

} // namespace ovir::netdelay
