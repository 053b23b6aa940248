#pragma once

#include "apps/ovir/bench/bench_peaks.hpp"
#include "apps/ovir/bench/bench_points.hpp"
#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"

#include <functional>
#include <memory>

/// Where the time of a step goes, measured: kernels that time themselves, on a runner that knows
/// when its threads work together.
namespace ovir::apps::bench {

/// Kernels of another set, each with a stopwatch around it (about 50 ns), and a runner that passes
/// everything on. Kernels have no object that could remember times, so these are the process's: one
/// profiler at a time.
class step_profiler {
public:
  /// `weights` say which operation a product is for. All must outlive the profiler.
  step_profiler(const compute::kernel_set& plain, const std::vector<weight_memory>& weights,
                compute::parallel_runner& runner);
  ~step_profiler();
  step_profiler(const step_profiler&) = delete;
  step_profiler& operator=(const step_profiler&) = delete;

  [[nodiscard]] const compute::kernel_set& kernels() const noexcept;
  [[nodiscard]] compute::parallel_runner& runner() noexcept;

  /// Forgets what was timed so far.
  void start();
  /// Of `steps` steps since then that took `stepping` seconds in all, and `logits` seconds were
  /// spent on their logits besides.
  [[nodiscard]] step_profile finish(std::uint32_t steps, double stepping, double logits) const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace ovir::apps::bench
