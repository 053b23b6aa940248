#include "compute/field_lanes.hpp"
#include "compute/intrinsics_x86.hpp"

#include <cstring>

#if defined(__x86_64__)
namespace ovir::compute {
namespace {

/// a * b of the signed low halves of each lane.
inline eight times(eight a, eight b) {
  __m512i x;
  __m512i y;
  std::memcpy(&x, &a, sizeof(x));
  std::memcpy(&y, &b, sizeof(y));
  const __m512i product = _mm512_mul_epi32(x, y);
  eight out;
  std::memcpy(&out, &product, sizeof(out));
  return out;
}

} // namespace
} // namespace ovir::compute

#include "compute/field_sums_loops.hpp"
#endif

#include "compute/field_sums.hpp"

namespace ovir::compute {

#if defined(__x86_64__)
const field_sums* field_sums_avx512() noexcept { return &these_sums; }
#else
const field_sums* field_sums_avx512() noexcept { return nullptr; }
#endif

} // namespace ovir::compute
