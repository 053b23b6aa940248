// The product of Q4_K on AVX-512 VNNI.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx512/q4_k.hpp"

#include "compute/kernels/x86/avx512/exact_sums.hpp"

namespace ovir::compute::avx512 {

void product_q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q4_k<exact_sums>>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
