#pragma once

#include "actors/runtime/compute_executor.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ovir::actors {

/// The machine's compute threads: one that takes jobs in order and leads each, and `threads` - 1
/// that help it. While a job is under way the helpers spin, so that a parallel step costs about a
/// microsecond; soon after the last job they sleep. Every thread keeps exact-1's rounding mode and
/// checks it. Destruction finishes the job under way and drops those that wait.
class compute_pool final : public compute_executor {
public:
  /// An `active_wait` for those that compute stages: longer than a neighbour's step mostly takes.
  static constexpr std::chrono::milliseconds between_steps{30};

  /// 1 <= threads <= limits::threads_max.
  /// After a job the leader looks for the next one for `active_wait` before it sleeps, unless
  /// others want its processor. 0 where the next job does not hurry: then it sleeps at once,
  /// because looking on costs a multiple of what a signature or a digest does.
  explicit compute_pool(std::size_t threads, std::chrono::nanoseconds active_wait = {});
  ~compute_pool() override;
  compute_pool(const compute_pool&) = delete;
  compute_pool& operator=(const compute_pool&) = delete;

  [[nodiscard]] std::size_t threads() const noexcept;
  void post(job work) override;
  [[nodiscard]] load count() const noexcept override;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace ovir::actors
