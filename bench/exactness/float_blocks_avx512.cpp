// Products with sums in any order (float_kernels.hpp).
#if defined(__x86_64__)

#include "bench/exactness/float_sums_avx512.hpp"
#include "compute/kernels/x86/avx512/blocks.hpp"

namespace ovir::bench {

void product_q8_0(const compute::x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const compute::x86::batch_view& x, float* y, std::size_t y_stride) {
  using namespace compute;
  x86::product_packed<avx512::q8_0<avx512::float_sums>>(w, first, last, x, y, y_stride);
}

void product_q4_0(const compute::x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const compute::x86::batch_view& x, float* y, std::size_t y_stride) {
  using namespace compute;
  x86::product_packed<avx512::q4_0<avx512::float_sums>>(w, first, last, x, y, y_stride);
}

} // namespace ovir::bench

#endif
