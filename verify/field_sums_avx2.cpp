#include "compute/kernels/x86/intrinsics.hpp"
#include "verify/field_lanes.hpp"
#include "verify/field_sums.hpp"

#include <cstring>

#if defined(__x86_64__)
namespace ovir::compute {
namespace {

constexpr std::size_t rows_together = 4;

template <class Product>
inline eight halves(eight a, eight b, Product product) {
  __m256i parts[2][2];
  std::memcpy(parts[0], &a, sizeof(a));
  std::memcpy(parts[1], &b, sizeof(b));
  const __m256i products[2] = {product(parts[0][0], parts[1][0]),
                               product(parts[0][1], parts[1][1])};
  eight out;
  std::memcpy(&out, products, sizeof(out));
  return out;
}
/// a * b of the signed low halves of each lane.
inline eight times(eight a, eight b) {
  return halves(a, b, [](__m256i x, __m256i y) { return _mm256_mul_epi32(x, y); });
}
/// a * b of the low halves of each lane, as numbers without a sign.
inline eight times_natural(eight a, eight b) {
  return halves(a, b, [](__m256i x, __m256i y) { return _mm256_mul_epu32(x, y); });
}
/// Gets a top bit where |sum| is above its bound: b - S or b + S is negative, also where it wraps.
inline eight watch(eight seen, eight sum, eight bound) {
  return seen | (bound - sum) | (bound + sum);
}
inline eight outside(eight seen, eight /*bound*/) { return seen; }

} // namespace
} // namespace ovir::compute

#include "verify/field_inputs_loops.hpp"
#include "verify/field_sums_loops.hpp"
#endif

namespace ovir::compute {

#if defined(__x86_64__)
namespace {
constexpr field_sums these_sums{add_sums, round, weigh_inputs};
} // namespace
const field_sums* field_sums_avx2() noexcept { return &these_sums; }
#else
const field_sums* field_sums_avx2() noexcept { return nullptr; }
#endif

} // namespace ovir::compute
