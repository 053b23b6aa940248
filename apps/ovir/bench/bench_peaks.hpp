#pragma once

#include "apps/ovir/bench/bench_points.hpp"
#include "compute/base/parallel.hpp"
#include "compute/kernels/peak.hpp"
#include "compute/model/model.hpp"
#include "storage/env/env.hpp"

#include <span>
#include <vector>

/// What the machine could do at best, measured on the memory that the model really lies in.
namespace ovir::apps::bench {

/// One stretch of weights that a step reads, and for which operation.
struct weight_memory {
  operation use;
  const compute::weight* matrix;
  std::span<const unsigned char> bytes;
};

/// Everything that a step with logits reads of the weights, in the order of reading, in the form
/// that `kernels` read.
[[nodiscard]] std::vector<weight_memory> weights_read(const compute::model& model,
                                                      const compute::kernel_set& kernels);

/// Times loops that only read or only multiply, on the threads of a runner.
class machine_peaks {
public:
  machine_peaks(const std::vector<weight_memory>& weights, const compute::kernel_set& kernels,
                storage::env& environment);

  /// Seconds to read all of it once: the same bytes on the same pages as a step, nothing computed.
  [[nodiscard]] double read_seconds(compute::parallel_runner& runner);
  /// Seconds in which all threads together only multiply, as often as `multiplied` says.
  [[nodiscard]] double multiply_seconds(compute::parallel_runner& runner);
  [[nodiscard]] double multiplied(const compute::parallel_runner& runner) const;

private:
  double read_once(compute::parallel_runner& runner);

  const std::vector<weight_memory>& weights_;
  const compute::peak_loops& loops_;
  storage::env& environment_;
  std::size_t bytes_{0};
  std::uint64_t kept_{0}; ///< or a compiler would not read at all
};

} // namespace ovir::apps::bench
