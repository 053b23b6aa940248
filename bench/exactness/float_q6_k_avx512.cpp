// Products with sums in any order (float_kernels.hpp).
#if defined(__x86_64__)

#include "bench/exactness/float_sums_avx512.hpp"
#include "compute/kernels/x86/avx512/q6_k.hpp"

namespace ovir::bench {

void product_q6_k(const compute::x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const compute::x86::batch_view& x, float* y, std::size_t y_stride) {
  using namespace compute;
  x86::product_packed<avx512::q6_k<avx512::float_sums>>(w, first, last, x, y, y_stride);
}

} // namespace ovir::bench

#endif
