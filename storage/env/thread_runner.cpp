#include "storage/env/thread_runner.hpp"

#include "messages/check.hpp"
#include "storage/env/thread_signals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ovir::storage {

namespace {

constexpr std::chrono::microseconds spin_time{50};
constexpr int pauses_per_clock_read = 32;
constexpr int pauses_before_yield = 2'000;

void pause_briefly() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

} // namespace

bool float_mode_is_exact() noexcept {
#if defined(__x86_64__)
  // Flush-to-zero (15), denormals-are-zero (6) and the rounding mode (13, 14) must be off.
  constexpr unsigned int forbidden = 0x8000U | 0x0040U | 0x6000U;
  return (_mm_getcsr() & forbidden) == 0;
#elif defined(__aarch64__)
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  constexpr std::uint64_t forbidden = (1U << 24U) | (3U << 22U) | (1U << 19U);
  return (control & forbidden) == 0;
#else
  return true;
#endif
}

thread_runner::thread_runner(std::size_t threads) {
  OVIR_CHECK(threads >= 1, threads);
  OVIR_CHECK(float_mode_is_exact());
  const unsigned int processors = std::thread::hardware_concurrency();
  spins_ = processors == 0 || threads <= processors;
  workers_.reserve(threads - 1);
  try {
    for (std::size_t i = 1; i < threads; ++i) {
      workers_.emplace_back([this] { work(); });
    }
  } catch (const std::system_error& e) {
    // No destructor follows a constructor that throws: those already started are ended here.
    stop();
    throw std::system_error(e.code(), fmt::format("only {} of {} compute threads could be started; "
                                                  "ask for fewer with --threads",
                                                  workers_.size() + 1, threads));
  }
}

thread_runner::~thread_runner() { stop(); }

void thread_runner::stop() noexcept {
  {
    const std::lock_guard lock{sleep_};
    stopping_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void thread_runner::run(std::size_t count, const std::function<void(std::size_t)>& part) {
  OVIR_CHECK(count <= std::numeric_limits<std::uint32_t>::max(), count);
  if (count == 0) {
    return;
  }
  if (workers_.empty() || count == 1) {
    for (std::size_t i = 0; i < count; ++i) {
      part(i);
    }
    return;
  }
  const std::lock_guard turn{caller_};
  part_.store(&part, std::memory_order_relaxed);
  unfinished_.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
  publish(static_cast<std::uint32_t>(count));
  while (take_part()) {
  }
  int pauses = 0;
  while (unfinished_.load(std::memory_order_acquire) != 0) {
    if (spins_ && ++pauses < pauses_before_yield) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void thread_runner::publish(std::uint32_t count) {
  const std::uint64_t number = (ticket_.load(std::memory_order_relaxed) >> 32U) + 1;
  ticket_.store((number << 32U) | count, std::memory_order_seq_cst);
  // Sequentially consistent on both sides: either the sleeper sees the ticket, or we see it asleep.
  if (sleepers_.load(std::memory_order_seq_cst) != 0) {
    const std::lock_guard lock{sleep_};
    wake_.notify_all();
  }
}

bool thread_runner::take_part() noexcept {
  std::uint64_t seen = ticket_.load(std::memory_order_acquire);
  while ((seen & parts_mask) != 0) {
    if (ticket_.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      // The run cannot end before this part is done, so `part_` is its function.
      const std::function<void(std::size_t)>& part = *part_.load(std::memory_order_relaxed);
      part((seen & parts_mask) - 1);
      unfinished_.fetch_sub(1, std::memory_order_acq_rel);
      return true;
    }
  }
  return false;
}

void thread_runner::work() {
  leave_signals_to_main();
  OVIR_CHECK(float_mode_is_exact());
  using clock = std::chrono::steady_clock;
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (take_part()) {
      continue;
    }
    const clock::time_point idle_since = clock::now();
    bool found = false;
    while (spins_ && !found && clock::now() - idle_since < spin_time) {
      for (int i = 0; i < pauses_per_clock_read && !found; ++i) {
        pause_briefly();
        found = (ticket_.load(std::memory_order_relaxed) & parts_mask) != 0;
      }
    }
    if (!found) {
      sleep_until_work();
    }
  }
}

void thread_runner::sleep_until_work() {
  std::unique_lock lock{sleep_};
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  wake_.wait(lock, [this] {
    return stopping_.load() || (ticket_.load(std::memory_order_seq_cst) & parts_mask) != 0;
  });
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

} // namespace ovir::storage
