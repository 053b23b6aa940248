#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ovir::storage {

/// The machine's processors, for the parts of a computation: the one place in OVIR that owns
/// compute threads. Like `env_posix` it belongs to the machine, so the cores see it only through an
/// adapter to `compute::parallel_runner`.
///
/// `threads - 1` workers and the caller share the parts of each `run`. A worker spins for about
/// 50 microseconds after its last part, so that the phases of one decode step follow each other
/// without a system call, and then sleeps. Where more threads are asked for than the machine has
/// processors, nobody spins.
class thread_runner {
public:
  /// Starts the workers; `threads` is at least 1 and counts the caller. Throws std::system_error
  /// where the system refuses a thread.
  explicit thread_runner(std::size_t threads);
  /// Waits for the workers. No `run` may be in progress.
  ~thread_runner();
  thread_runner(const thread_runner&) = delete;
  thread_runner& operator=(const thread_runner&) = delete;

  [[nodiscard]] std::size_t width() const noexcept { return workers_.size() + 1; }

  /// Calls `part(i)` once for every i < count, on the workers and the calling thread, and returns
  /// when all are done; what the parts wrote is then visible to the caller. Concurrent callers take
  /// turns. A part must not throw, block for long, or call `run` of the same runner.
  void run(std::size_t count, const std::function<void(std::size_t)>& part);

private:
  void work();
  void stop() noexcept;
  void sleep_until_work();
  bool take_part() noexcept;
  void publish(std::uint32_t count);

  // Parts still to be handed out, with the run's number above, in one word: a worker that wakes
  // late can never take a part of one run with the function of another.
  static constexpr std::uint64_t parts_mask = 0xffff'ffffU;

  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  alignas(64) std::atomic<const std::function<void(std::size_t)>*> part_{nullptr};
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
  bool spins_{true};
  std::mutex caller_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

/// True when this thread rounds to nearest and keeps subnormals, as exact-1 demands.
[[nodiscard]] bool float_mode_is_exact() noexcept;

} // namespace ovir::storage
