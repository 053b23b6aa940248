#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace ovir::swarm {

/// Work on a stack of its own that may pause, and goes on where it paused. All of it runs on the
/// caller's thread, so that the same seed gives the same events. The work must not throw.
class fiber {
public:
  fiber();
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  /// Returns when `work` pauses or is done. Precondition: no work is under way.
  void start(std::function<void()> work);
  /// Goes on after a pause, likewise.
  void resume();
  /// Called by the work alone.
  void pause();
  [[nodiscard]] bool under_way() const noexcept { return work_ != nullptr; }

private:
  static void enter(unsigned low, unsigned high);

  std::unique_ptr<std::byte[]> stack_;
  ucontext_t own_{};
  ucontext_t caller_{};
  std::function<void()> work_;
};

} // namespace ovir::swarm
