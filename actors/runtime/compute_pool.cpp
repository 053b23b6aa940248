#include "actors/runtime/compute_pool.hpp"

#include "actors/runtime/gap_forecast.hpp"
#include "compute/kernels/numerics.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ovir::actors {

namespace {

/// Turns of a spin before the thread offers its core to others, and before it sleeps. A pause is
/// some tens of cycles, so these are about 30 and 200 microseconds.
constexpr std::uint32_t spins_before_yield = 1'000;
constexpr std::uint32_t spins_before_sleep = 6'000;
/// Turns for which the leader of a pool that waits actively looks for the next job before it
/// sleeps, at least: actors that learn of a job's end mostly post the next one within some tens of
/// microseconds, and waking costs as much.
constexpr std::uint32_t spins_between_jobs = 1'500;
/// Turns of an active wait between two offers of the processor to others: a microsecond or two, so
/// that an actor that wakes hardly waits for it.
constexpr std::uint32_t spins_between_offers = 64;
/// What an offer takes that nobody accepts, at most.
constexpr std::chrono::microseconds offer_declined_max{10};
/// An active wait ends when others took the processor for so long in it: it is wanted elsewhere.
constexpr std::chrono::microseconds given_away_max{2'000};
/// How long before a job is due the leader wakes: timers are late, and steps sometimes early.
constexpr std::chrono::microseconds wakes_early{1'500};

/// How long after it was due a job is still looked for.
constexpr std::chrono::microseconds gives_up_late{2'000};

void relax(std::uint32_t turn) {
  if (turn % spins_before_yield == spins_before_yield - 1) {
    std::this_thread::yield();
    return;
  }
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

void name_thread(std::size_t index) {
  const std::string name = fmt::format("ovir-compute-{}", index);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

// A ticket says, in one word, how many parts the current step has and which comes next, so that a
// helper that claims a part can never mistake one step for another: parts in the upper half, next
// in the lower. A claim adds 1; claims beyond the last part do nothing.
constexpr std::uint32_t next_of(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket); }
constexpr std::uint32_t parts_of(std::uint64_t ticket) {
  return static_cast<std::uint32_t>(ticket >> 32U);
}

} // namespace

struct compute_pool::impl final : public compute::parallel_runner {
  using part_function = std::function<void(std::size_t)>;

  // The hot words lie on cache lines of their own.
  alignas(64) std::atomic<std::uint64_t> ticket{0};
  alignas(64) std::atomic<std::uint32_t> finished{0};
  alignas(64) std::atomic<bool> job_under_way{false};
  std::atomic<std::uint32_t> wake{0};
  std::atomic<std::uint32_t> asleep{0};
  std::atomic<bool> stopping{false};
  const part_function* part{nullptr}; // published by `ticket`

  std::mutex mutex;
  std::condition_variable posted;
  std::deque<job> jobs;                  // guarded by `mutex`
  std::atomic<std::uint32_t> waiting{0}; // as many as `jobs` has
  std::atomic<std::uint64_t> done{0};    // jobs
  std::vector<std::thread> threads;
  std::chrono::nanoseconds active_wait{0};
  gap_forecast gaps; // the leader's own

  [[nodiscard]] std::size_t width() const noexcept override { return threads.size(); }

  void run(std::size_t count, const part_function& f) override {
    if (count <= 1 || threads.size() == 1) {
      for (std::size_t i = 0; i < count; ++i) {
        f(i);
      }
      return;
    }
    // Claims beyond the end stay below 2^32 by far: each helper makes at most one per step.
    OVIR_CHECK(count < (std::size_t{1} << 31U), count);
    part = &f;
    finished.store(0, std::memory_order_relaxed);
    ticket.store(std::uint64_t{count} << 32U, std::memory_order_release);
    wake_helpers();
    while (take_part()) {
    }
    for (std::uint32_t turn = 0; finished.load(std::memory_order_acquire) != count; ++turn) {
      relax(turn);
    }
  }

  /// Claims and runs one part of the current step. False when none is left.
  bool take_part() {
    const std::uint64_t seen = ticket.load(std::memory_order_acquire);
    if (next_of(seen) >= parts_of(seen)) {
      return false;
    }
    const std::uint64_t claim = ticket.fetch_add(1, std::memory_order_acq_rel);
    if (next_of(claim) >= parts_of(claim)) {
      return false;
    }
    // A claimed part keeps its step from ending, so `part` is that step's.
    (*part)(next_of(claim));
    finished.fetch_add(1, std::memory_order_release);
    return true;
  }

  void wake_helpers() {
    if (asleep.load(std::memory_order_seq_cst) > 0) {
      wake.fetch_add(1, std::memory_order_seq_cst);
      wake.notify_all();
    }
  }

  void help(std::size_t index) {
    name_thread(index);
    OVIR_CHECK(compute::rounding_is_exact());
    std::uint32_t turn = 0;
    while (!stopping.load(std::memory_order_relaxed)) {
      if (take_part()) {
        turn = 0;
        continue;
      }
      relax(turn++);
      if (turn >= spins_before_sleep) {
        turn = 0;
        sleep();
      }
    }
  }

  // A helper that is about to sleep says so first and looks once more: whoever publishes a step
  // looks at `asleep` afterwards, so one of the two sees the other.
  void sleep() {
    const std::uint32_t before = wake.load(std::memory_order_seq_cst);
    asleep.fetch_add(1, std::memory_order_seq_cst);
    const std::uint64_t seen = ticket.load(std::memory_order_seq_cst);
    const bool work = next_of(seen) < parts_of(seen);
    if (!work && !stopping.load() && !job_under_way.load(std::memory_order_seq_cst)) {
      wake.wait(before, std::memory_order_seq_cst);
    }
    asleep.fetch_sub(1, std::memory_order_seq_cst);
  }

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex);
      stopping.store(true);
    }
    posted.notify_all();
    // The leader may still be in a job that needs its helpers' claims to end, which they finish
    // before they look at `stopping`; what they leave, the leader takes itself.
    wake.fetch_add(1);
    wake.notify_all();
    for (std::thread& thread : threads) {
      if (thread.joinable()) { // one that could not be started is not
        thread.join();
      }
    }
  }

  void lead() {
    name_thread(0);
    OVIR_CHECK(compute::rounding_is_exact());
    for (;;) {
      job next;
      {
        std::unique_lock lock(mutex);
        posted.wait(lock, [this] { return stopping.load() || !jobs.empty(); });
        if (stopping.load()) {
          return;
        }
        next = std::move(jobs.front());
        jobs.pop_front();
        waiting.fetch_sub(1, std::memory_order_relaxed);
      }
      job_under_way.store(true, std::memory_order_seq_cst);
      wake_helpers();
      next(*this);
      OVIR_CHECK(compute::rounding_is_exact());
      job_under_way.store(false, std::memory_order_seq_cst);
      done.fetch_add(1, std::memory_order_relaxed);
      if (active_wait.count() > 0) {
        await_next();
      }
    }
  }

  [[nodiscard]] bool idle() const {
    return !stopping.load(std::memory_order_relaxed) &&
           waiting.load(std::memory_order_relaxed) == 0;
  }

  // Between two steps of a token's way through several stages a processor that halts takes longer
  // to come back than the step's messages take (in a virtual machine a tenth of a millisecond per
  // halt, and every thread on the way may meet one). So the leader looks on for as long as a
  // neighbour's step may take, and lets whoever else wants the processor have it. But a thread that
  // looks on slows down one that computes beside it on the same core, so it sleeps for as long as
  // the steps' rhythm says that nothing will come.
  void await_next() {
    using clock = std::chrono::steady_clock;
    const clock::time_point ended = clock::now();
    for (std::uint32_t turn = 0; turn < spins_between_jobs && idle(); ++turn) {
      relax(turn);
    }
    if (const auto quiet = gaps.shortest() - wakes_early; idle() && quiet > wakes_early) {
      std::unique_lock lock(mutex);
      posted.wait_until(lock, ended + quiet, [this] { return stopping.load() || !jobs.empty(); });
    }
    const auto usual = gaps.longest_but_one();
    look_on(usual.count() > 0 ? ended + usual + gives_up_late : clock::time_point::max());
    gaps.note(clock::now() - ended);
  }

  /// For `active_wait` at most, and until `usual`: what has not come by then may be long in coming.
  void look_on(std::chrono::steady_clock::time_point usual) {
    using clock = std::chrono::steady_clock;
    const clock::time_point begun = clock::now();
    const clock::time_point end = std::min(begun + active_wait, usual);
    clock::duration given_away{0};
    clock::time_point offered = begun;
    while (idle() && offered < end && given_away < given_away_max) {
      for (std::uint32_t turn = 0; turn < spins_between_offers && idle(); ++turn) {
        relax(turn);
      }
      const clock::time_point before = clock::now();
      std::this_thread::yield();
      offered = clock::now();
      if (offered - before > offer_declined_max) {
        given_away += offered - before;
      }
    }
  }
};

compute_pool::compute_pool(std::size_t threads, std::chrono::nanoseconds active_wait)
    : impl_(std::make_unique<impl>()) {
  OVIR_CHECK(threads >= 1 && threads <= limits::threads_max, threads);
  impl& pool = *impl_;
  pool.active_wait = active_wait;
  // Sized before the first thread starts: `width` reads it without a lock.
  pool.threads.resize(threads);
  std::size_t started = 0;
  try {
    pool.threads[0] = std::thread([&pool] { pool.lead(); });
    for (started = 1; started < threads; ++started) {
      pool.threads[started] = std::thread([&pool, i = started] { pool.help(i); });
    }
  } catch (const std::system_error& e) {
    // No destructor follows a constructor that throws: those already started are ended here.
    pool.stop();
    throw std::system_error(e.code(), fmt::format("only {} of {} compute threads could be started; "
                                                  "ask for fewer with --threads",
                                                  started, threads));
  }
}

compute_pool::~compute_pool() { impl_->stop(); }

std::size_t compute_pool::threads() const noexcept { return impl_->threads.size(); }

void compute_pool::post(job work) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->jobs.push_back(std::move(work));
    impl_->waiting.fetch_add(1, std::memory_order_relaxed);
  }
  impl_->posted.notify_one();
}

compute_pool::load compute_pool::count() const noexcept {
  return {impl_->waiting.load(std::memory_order_relaxed),
          impl_->done.load(std::memory_order_relaxed)};
}

} // namespace ovir::actors
