#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/avx512/integers.hpp"

/// The sums of exact-1 on AVX-512: exact integers, rounded once. A parameter of the kernels, so
/// that what exactness costs can be measured (bench/exactness) with all else the same.
namespace ovir::compute::avx512 {
namespace {

/// S of 16 rows and one token, in units of 2^-24 u: rows 0, 2, .. and rows 1, 3, ..
struct exact_sums {
  __m512i even;
  __m512i odds;

  /// D of each row, from fp16.
  static inline __m512i scale_of(__m256i halves) { return fixed24(halves); }

  inline void clear() {
    even = _mm512_setzero_si512();
    odds = _mm512_setzero_si512();
  }

  /// Adds dot * k * D of a block of 32. |dot * k| <= 2,130,186,240 fits 32 bits.
  inline void add_block(__m512i dot, const std::int32_t* k, __m512i scale) {
    add(_mm512_mullo_epi32(dot, broadcast(k)), scale);
  }

  /// Adds `scaled` * k * D of a superblock, or of a part of one. |D| < 2^19, k < 2^12.
  inline void add_superblock(__m512i scaled, const std::int32_t* k, __m512i d) {
    add(scaled, _mm512_mullo_epi32(d, broadcast(k)));
  }

  /// Adds k (`scaled` * D - `mins` * M) of a superblock.
  inline void add_superblock(__m512i scaled, __m512i mins, const std::int32_t* k, __m512i d,
                             __m512i dmin) {
    const __m512i kt = broadcast(k);
    const __m512i kd = _mm512_mullo_epi32(d, kt);
    const __m512i km = _mm512_mullo_epi32(dmin, kt);
    even = _mm512_add_epi64(
        even, _mm512_sub_epi64(_mm512_mul_epi32(scaled, kd), _mm512_mul_epi32(mins, km)));
    odds = _mm512_add_epi64(odds, _mm512_sub_epi64(_mm512_mul_epi32(odd(scaled), odd(kd)),
                                                   _mm512_mul_epi32(odd(mins), odd(km))));
  }

  /// y[low..high) = S rounded once to binary32, times an exact power of two.
  inline void store(float power, float* y, std::uint32_t low, std::uint32_t high) const {
    const __m256 scale = _mm256_set1_ps(power);
    const __m256 first_rows = _mm256_mul_ps(_mm512_cvtepi64_ps(even), scale);
    const __m256 other_rows = _mm256_mul_ps(_mm512_cvtepi64_ps(odds), scale);
    const __m256 first = _mm256_unpacklo_ps(first_rows, other_rows);
    const __m256 second = _mm256_unpackhi_ps(first_rows, other_rows);
    const __m512 all =
        _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_permute2f128_ps(first, second, 0x20)),
                           _mm256_permute2f128_ps(first, second, 0x31), 1);
    _mm512_mask_storeu_ps(y, static_cast<__mmask16>(first_lanes(high) & ~first_lanes(low)), all);
  }

  /// to[low..high) = S.
  inline void store_exact(std::int64_t* to, std::uint32_t low, std::uint32_t high) const {
    alignas(64) std::int64_t all[2][8];
    _mm512_store_si512(all[0], even);
    _mm512_store_si512(all[1], odds);
    for (std::uint32_t r = low; r < high; ++r) {
      to[r] = all[r % 2][r / 2];
    }
  }

private:
  inline void add(__m512i a, __m512i b) {
    even = _mm512_add_epi64(even, _mm512_mul_epi32(a, b));
    odds = _mm512_add_epi64(odds, _mm512_mul_epi32(odd(a), odd(b)));
  }
};

} // namespace
} // namespace ovir::compute::avx512

#endif
