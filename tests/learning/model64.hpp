#pragma once

#include "compute/model/model.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/example.hpp"

namespace ovir::test {

struct loss64 {
  double loss; ///< sum over an example's counted ids
  /// Of `loss` by each number of the adapter, rounded to binary32 at the end.
  learning::lora_numbers gradient;
};

/// A model with an adapter in binary64, by the weights' values and libm, and the gradients from a
/// tape of all scalars. `half_kv`: K and V are rounded to fp16, through which gradients pass
/// unchanged.
[[nodiscard]] loss64 loss_of(const compute::model& m, const learning::adapter& beside,
                             const learning::example& e, bool half_kv);

} // namespace ovir::test
