#pragma once

#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "learning/kernels/kernels.hpp"
#include "messages/result.hpp"

namespace ovir::learning {

/// Whether adapters are trained through models of this kind: `unsupported` names what stands
/// against it. Llama, Qwen 2 and Qwen 3 are supported, and whatever has their blocks.
[[nodiscard]] result<void> check_trainable(const compute::model_config& config);

/// A model that does not change, and the kernels that compute with it. Weights were accepted by
/// `compute::check_weights`. The model must outlive it.
struct frozen_model {
  const compute::model* weights;
  const compute::kernel_set* kernels;
  const learn_kernels* learn;
  compute::rope_table rope;

  [[nodiscard]] const compute::model_config& config() const noexcept { return weights->config; }
};

/// `unsupported` as `check_trainable`.
[[nodiscard]] result<frozen_model> freeze(const compute::model& checked,
                                          const compute::kernel_set& kernels);

} // namespace ovir::learning
