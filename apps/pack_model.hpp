#pragma once

#include "apps/open_model.hpp"
#include "compute/base/parallel.hpp"

#include <cstdint>
#include <functional>

namespace ovir::apps {

/// Told after each weight: bytes packed, of how many.
using pack_progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Checks the weights of `layers` (`compute::check_weights`) and rearranges them for the kernels in
/// memory that `model.source.file` owns from then on. Where there is no such memory, or for the
/// reference kernels, they stay as they are in the file: the same results, more slowly. Pages of
/// the file that were read are given back when they are needed no more.
[[nodiscard]] result<void> pack_model(ready_model& model, layer_range layers,
                                      const compute::kernel_set& kernels, storage::env& environment,
                                      compute::parallel_runner& runner,
                                      const pack_progress& progress = {});

} // namespace ovir::apps
