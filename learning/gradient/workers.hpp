#pragma once

#include "compute/base/grain_shares.hpp"
#include "compute/base/parallel.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace ovir::learning {

/// How many parts `over_tasks` makes at most: the memory that a part needs for itself.
[[nodiscard]] inline std::size_t parts_of(std::size_t tasks, compute::parallel_runner& runner) {
  return std::max<std::size_t>(1, std::min(runner.width(), tasks));
}

/// Calls `f(part, task)` once for each task. Tasks write disjoint memory, so no bit depends on who
/// takes which.
template <class F>
void over_tasks(std::size_t tasks, compute::parallel_runner& runner, const F& f) {
  const std::size_t parts = parts_of(tasks, runner);
  compute::grain_shares shares{static_cast<std::uint32_t>(tasks), parts};
  const auto some = [&](std::size_t part) {
    for (compute::grain_run run = shares.take(part); !run.empty(); run = shares.take(part)) {
      for (std::size_t task = run.first; task < run.last; ++task) {
        f(part, task);
      }
    }
  };
  runner.run(parts, std::cref(some));
}

/// Calls `f(first, last)` for stretches of at most `grain` that make up [0, total).
template <class F>
void over_stretches(std::size_t total, std::size_t grain, compute::parallel_runner& runner,
                    const F& f) {
  over_tasks((total + grain - 1) / grain, runner, [&](std::size_t, std::size_t task) {
    f(task * grain, std::min(total, (task + 1) * grain));
  });
}

} // namespace ovir::learning
