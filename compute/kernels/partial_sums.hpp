#pragma once

#include "compute/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>

/// Products with quantised weights before they are rounded (exact-1, section 3): what members of a
/// group add whose weights are columns of one matrix. Integers have no order, so the sum of all
/// parts, rounded once, is the product of the whole.
namespace ovir::compute {

/// sums[t * stride + r] = S of row r of `w` and row t of `x`, for r in [row_first, row_last): the
/// integer that `kernels.product` rounds, to the bit the same for every set. Preconditions: those
/// of `kernel_set::product`, and `w` is not `wide`.
void product_sums(const kernel_set& kernels, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride);

/// The same by the specification.
void product_sums_reference(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                            const quantized_batch& x, std::int64_t* sums, std::size_t stride);

} // namespace ovir::compute
