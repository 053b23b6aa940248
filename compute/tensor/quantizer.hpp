#pragma once

#include "compute/tensor/tensor.hpp"

#include <cstddef>
#include <span>

namespace ovir::compute {

/// Whether `quantize_row` writes this type.
[[nodiscard]] bool can_quantize(tensor_type type) noexcept;

/// Writes `x`, whole blocks of finite numbers, in a tensor type: F32, F16, Q8_0, Q4_0, Q5_0, Q4_K
/// or Q6_K. Scales are searched for the least weighted square error, in one order of operations, so
/// the bytes are a function of `x` and `type` alone. False when a scale, or an element of F16, is
/// beyond fp16; `out` is unspecified then. `out` has room for the blocks. Precondition:
/// can_quantize(type).
[[nodiscard]] bool quantize_row(tensor_type type, std::span<const float> x, std::byte* out);

} // namespace ovir::compute
