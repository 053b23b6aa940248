#pragma once

#include "compute/base/parallel.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>

namespace ovir::actors {

/// Where computations run: not on CAF's threads. Jobs run one at a time in the order posted, each
/// with all the threads there are; what they find they send as a message. `post` returns at once
/// and may be called by any actor. Jobs must not throw. Whoever posts bounds what it posts: a shard
/// or a lead has at most one job waiting.
class compute_executor {
public:
  using job = std::function<void(compute::parallel_runner&)>;

  virtual ~compute_executor() = default;
  virtual void post(job work) = 0;
  /// Posts a job and waits until it has run. Not for actors.
  virtual void run(job work);

  struct load {
    std::size_t waiting{0};    ///< jobs
    std::uint64_t finished{0}; ///< jobs, since it began
  };
  [[nodiscard]] virtual load count() const noexcept { return {}; }
};

} // namespace ovir::actors
