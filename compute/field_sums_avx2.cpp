#include "compute/field_lanes.hpp"
#include "compute/intrinsics_x86.hpp"

#include <cstring>

#if defined(__x86_64__)
namespace ovir::compute {
namespace {

/// a * b of the signed low halves of each lane.
inline eight times(eight a, eight b) {
  __m256i parts[2][2];
  std::memcpy(parts[0], &a, sizeof(a));
  std::memcpy(parts[1], &b, sizeof(b));
  const __m256i products[2] = {_mm256_mul_epi32(parts[0][0], parts[1][0]),
                               _mm256_mul_epi32(parts[0][1], parts[1][1])};
  eight out;
  std::memcpy(&out, products, sizeof(out));
  return out;
}

} // namespace
} // namespace ovir::compute

#include "compute/field_sums_loops.hpp"
#endif

#include "compute/field_sums.hpp"

namespace ovir::compute {

#if defined(__x86_64__)
const field_sums* field_sums_avx2() noexcept { return &these_sums; }
#else
const field_sums* field_sums_avx2() noexcept { return nullptr; }
#endif

} // namespace ovir::compute
