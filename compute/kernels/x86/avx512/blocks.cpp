// The products of Q8_0 and Q4_0 on AVX-512 VNNI.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx512/blocks.hpp"

#include "compute/kernels/x86/avx512/exact_sums.hpp"

namespace ovir::compute::avx512 {

void product_q8_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q8_0<exact_sums>>(w, first, last, x, y, y_stride);
}

void product_q4_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q4_0<exact_sums>>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
