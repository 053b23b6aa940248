#pragma once

#include "apps/ovir/base/command.hpp"
#include "apps/ovir/bench/bench_points.hpp"

namespace ovir::apps::bench {

/// Packs the model and measures every point of `asked`. `self_test_failed` when two computations of
/// the same thing differ, `cancelled` after Ctrl-C.
[[nodiscard]] result<findings> measure(const plan& asked, ready_model& model,
                                       const compute::kernel_set& kernels, surroundings& around);

} // namespace ovir::apps::bench
