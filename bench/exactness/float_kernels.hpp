#pragma once

#include "compute/kernels/x86/kernels.hpp"

/// The packed products of AVX-512 with sums of binary32 in any order, to measure what exactness
/// costs. Linked into ovir_exactness_bench alone: no program that serves can have them.
namespace ovir::bench {

/// `k` of the batch hold the bits of binary32 numbers, so that nothing is converted per block.
compute::x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k;

} // namespace ovir::bench
