// The product of Q4_K on AVX2.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/q4_k.hpp"

namespace ovir::compute::avx2 {

void product_q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q4_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
