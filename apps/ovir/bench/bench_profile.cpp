#include "apps/ovir/bench/bench_profile.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>

namespace ovir::apps::bench {

namespace {

using compute::kernel_set;
using std::chrono::steady_clock;

// One thread's nanoseconds by operation: [0] alone, [1] in a parallel region. Written by its thread
// while it computes, read by the profiler between runs of the runner, which orders the two.
struct alignas(64) thread_times {
  std::array<std::array<std::uint64_t, operations>, 2> spent{};
};

// What a function without an object can reach.
struct stopwatch_board {
  const kernel_set* plain{nullptr};
  std::vector<std::pair<const std::byte*, operation>> by_address; ///< sorted
  std::atomic<bool> together{false};
  std::mutex joining;
  std::deque<thread_times> threads; ///< never shrinks: threads keep their place
};

stopwatch_board& board() {
  static stopwatch_board only;
  return only;
}

thread_times& my_times() {
  thread_local thread_times* mine = nullptr;
  if (mine == nullptr) {
    const std::lock_guard lock{board().joining};
    mine = &board().threads.emplace_back();
  }
  return *mine;
}

class stopwatch {
public:
  explicit stopwatch(operation op) : op_(op), start_(steady_clock::now()) {}
  ~stopwatch() {
    const auto taken = std::chrono::nanoseconds{steady_clock::now() - start_};
    const std::size_t where = board().together.load(std::memory_order_relaxed) ? 1 : 0;
    my_times().spent[where][static_cast<std::size_t>(op_)] +=
        static_cast<std::uint64_t>(taken.count());
  }
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;

private:
  operation op_;
  steady_clock::time_point start_;
};

// A product's operation: whose weight it is. Layers hold copies of the views, so addresses decide.
operation use_of(const compute::weight& w) {
  const auto& known = board().by_address;
  const auto found =
      std::lower_bound(known.begin(), known.end(), w.data,
                       [](const auto& entry, const std::byte* at) { return entry.first < at; });
  return found != known.end() && found->first == w.data ? found->second : operation::head;
}

// The kernel behind a member of kernel_set, timed as `Op`; products below as what their weight is
// for.
template <auto Member, operation Op>
struct timed;

template <class Return, class... Arguments, Return (*kernel_set::*Member)(Arguments...),
          operation Op>
struct timed<Member, Op> {
  static Return call(Arguments... arguments) {
    const stopwatch watch{Op};
    return (board().plain->*Member)(arguments...);
  }
};

template <auto Member>
struct timed_product;

template <class... Arguments, void (*kernel_set::*Member)(const compute::weight&, Arguments...)>
struct timed_product<Member> {
  static void call(const compute::weight& w, Arguments... arguments) {
    const stopwatch watch{use_of(w)};
    (board().plain->*Member)(w, arguments...);
  }
};

kernel_set timed_kernels(const kernel_set& plain) {
  kernel_set all = plain;
  all.quantize = timed<&kernel_set::quantize, operation::quantize>::call;
  all.product = timed_product<&kernel_set::product>::call;
  all.product_float = timed_product<&kernel_set::product_float>::call;
  all.rms_norm = timed<&kernel_set::rms_norm, operation::norm>::call;
  all.swiglu = timed<&kernel_set::swiglu, operation::swiglu>::call;
  all.rotate = timed<&kernel_set::rotate, operation::rotate>::call;
  all.attend = timed<&kernel_set::attend, operation::attend>::call;
  all.add = timed<&kernel_set::add, operation::add>::call;
  all.to_half = timed<&kernel_set::to_half, operation::to_half>::call;
  return all;
}

// Marks the time in which threads work together, and adds it up.
class watching_runner final : public compute::parallel_runner {
public:
  explicit watching_runner(compute::parallel_runner& real) : real_(real) {}

  [[nodiscard]] std::size_t width() const noexcept override { return real_.width(); }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    const auto start = steady_clock::now();
    board().together.store(true, std::memory_order_relaxed);
    real_.run(count, part);
    board().together.store(false, std::memory_order_relaxed);
    spent_ += steady_clock::now() - start;
  }
  void forget() noexcept { spent_ = {}; }
  [[nodiscard]] double spent() const noexcept { return spent_.count(); }

private:
  compute::parallel_runner& real_;
  std::chrono::duration<double> spent_{};
};

} // namespace

std::string_view name_of(operation op) noexcept {
  constexpr std::array<std::string_view, operations> names{
      "attn_q", "attn_k", "attn_v",   "attn_output", "ffn_gate", "ffn_up", "ffn_down", "head",
      "attend", "norm",   "quantize", "rotate",      "swiglu",   "add",    "to_half"};
  return names[static_cast<std::size_t>(op)];
}

struct step_profiler::impl {
  kernel_set kernels;
  watching_runner runner;
};

step_profiler::step_profiler(const kernel_set& plain, const std::vector<weight_memory>& weights,
                             compute::parallel_runner& runner)
    : impl_(std::make_unique<impl>(impl{timed_kernels(plain), watching_runner{runner}})) {
  stopwatch_board& all = board();
  OVIR_CHECK(all.plain == nullptr);
  all.plain = &plain;
  for (const weight_memory& w : weights) {
    all.by_address.emplace_back(w.matrix->data, w.use);
  }
  std::sort(all.by_address.begin(), all.by_address.end());
}

step_profiler::~step_profiler() {
  board().plain = nullptr;
  board().by_address.clear();
}

const kernel_set& step_profiler::kernels() const noexcept { return impl_->kernels; }
compute::parallel_runner& step_profiler::runner() noexcept { return impl_->runner; }

void step_profiler::start() {
  impl_->runner.forget();
  for (thread_times& t : board().threads) {
    t = {};
  }
}

step_profile step_profiler::finish(std::uint32_t steps, double stepping, double logits) const {
  constexpr double nanoseconds = 1e9;
  const double width = static_cast<double>(impl_->runner.width());
  const double each = std::max<double>(steps, 1);
  step_profile all;
  double together = 0;
  double alone = 0;
  for (const thread_times& t : board().threads) {
    for (std::size_t op = 0; op < operations; ++op) {
      const double shared = static_cast<double>(t.spent[1][op]) / nanoseconds / width;
      const double own = static_cast<double>(t.spent[0][op]) / nanoseconds;
      all.spent[op] += (shared + own) / each;
      together += shared;
      alone += own;
    }
  }
  const double regions = impl_->runner.spent();
  all.waiting = std::max(0.0, regions - together) / each;
  all.between = std::max(0.0, stepping - regions - alone) / each;
  all.logits = logits / each;
  all.step = (stepping + logits) / each;
  return all;
}

} // namespace ovir::apps::bench
