#pragma once

#include "compute/kernels/kernels.hpp"
#include "learning/kernels/kernels.hpp"

namespace ovir::learning {

/// The kernels of learn-1 for an instruction set that `compute::select_kernels` chose.
[[nodiscard]] const learn_kernels& kernels_for(compute::isa id) noexcept;

} // namespace ovir::learning
