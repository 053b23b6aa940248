#pragma once

#include "bench/exactness/float_kernels.hpp"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/avx512/integers.hpp"

/// What exact_sums is measured against: one binary32 sum per row, in whatever order blocks come.
/// The batch's `k` are binary32 here (float_kernels.hpp).
namespace ovir::compute::avx512 {
namespace {

struct float_sums {
  __m512 sum;

  inline void clear() { sum = _mm512_setzero_ps(); }

  inline void add_block(__m512i dot, const std::int32_t* k, __m512i scale) {
    const __m512 factor = _mm512_mul_ps(_mm512_cvtepi32_ps(scale), float_of(k));
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), factor, sum);
  }

  inline void add_superblock(__m512i scaled, const std::int32_t* k, __m512i d) {
    add_block(scaled, k, d);
  }

  inline void add_superblock(__m512i scaled, __m512i mins, const std::int32_t* k, __m512i d,
                             __m512i dmin) {
    const __m512 low = _mm512_mul_ps(_mm512_cvtepi32_ps(mins), _mm512_cvtepi32_ps(dmin));
    const __m512 both = _mm512_fmsub_ps(_mm512_cvtepi32_ps(scaled), _mm512_cvtepi32_ps(d), low);
    sum = _mm512_fmadd_ps(both, float_of(k), sum);
  }

  inline void store(float power, float* y, std::uint32_t low, std::uint32_t high) const {
    _mm512_mask_storeu_ps(y, static_cast<__mmask16>(first_lanes(high) & ~first_lanes(low)),
                          _mm512_mul_ps(sum, _mm512_set1_ps(power)));
  }

private:
  static inline __m512 float_of(const std::int32_t* k) { return _mm512_castsi512_ps(broadcast(k)); }
};

} // namespace
} // namespace ovir::compute::avx512

#endif
