#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/floats.hpp"
#include "compute/kernels/x86/intrinsics.hpp"

/// Quantises sixteen blocks of 32 elements together on AVX-512, a lane for each: a block alone
/// spends most of its time on folding its maximum and its sum, and on its scales, which wait for
/// each other.
namespace ovir::compute::avx512 {
namespace {

inline constexpr std::uint32_t blocks_together = 16;
inline constexpr std::uint32_t elements_together = blocks_together * x86::quantized_block;

/// Folds vectors 4i to 4i + 3 of sixteen by `op`, which is exact and so may take any order: lanes
/// 4i + b are vector 4i + b's.
template <class Op>
__attribute__((always_inline)) inline __m512i fold_four_integers(__m512i a, __m512i b, __m512i c,
                                                                 __m512i d, Op op) {
  // 64-bit halves of each run of four lanes, then 32-bit ones.
  const __m512i ab = op(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = op(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return op(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/// Lane i of sixteen: the fold of four vectors' lanes, of which each has a quarter in each run of
/// four lanes of t[i / 4].
template <class Op>
__attribute__((always_inline)) inline __m512i fold_runs(const __m512i* t, Op op) {
  const auto halves = [&](__m512i a, __m512i b) {
    return op(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xEE));
  };
  const __m512i ab = halves(t[0], t[1]); // runs: a, a, b, b
  const __m512i cd = halves(t[2], t[3]);
  return op(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xDD));
}

__attribute__((always_inline)) inline __m512i magnitude_bits(const float* x) {
  return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(0x7FFFFFFF));
}

/// The largest magnitude of each of sixteen blocks, as bits, which are in the order of their
/// values.
inline __m512i largest_of_blocks(const float* x) {
  const auto larger = [](__m512i a, __m512i b) { return _mm512_max_epi32(a, b); };
  const auto block = [&](std::uint32_t j) {
    const float* const at = x + std::size_t{j} * x86::quantized_block;
    return larger(magnitude_bits(at), magnitude_bits(at + 16));
  };
  __m512i t[4];
#pragma GCC unroll 4
  for (std::uint32_t i = 0; i < 4; ++i) {
    t[i] = fold_four_integers(block(4 * i), block(4 * i + 1), block(4 * i + 2), block(4 * i + 3),
                              larger);
  }
  return fold_runs(t, larger);
}

/// ceil(value) within [low, high].
inline __m512i ceil_within(__m512 value, std::int32_t low, std::int32_t high) {
  const __m512i whole =
      _mm512_cvtps_epi32(_mm512_roundscale_ps(value, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
  return _mm512_max_epi32(_mm512_min_epi32(whole, _mm512_set1_epi32(high)), _mm512_set1_epi32(low));
}

/// q = rne(x / step) within +-127 of two blocks, 64 bytes; returns sums of them: in each run of
/// four lanes, a quarter of the first block in the first two and of the second in the others.
__attribute__((always_inline)) inline __m512i quantize_two(const float* x, const float* steps,
                                                           std::int8_t* q) {
  const __m512i least = _mm512_set1_epi16(-127);
  const auto rounded = [&](int part) {
    return _mm512_cvtps_epi32(
        _mm512_div_ps(_mm512_loadu_ps(x + 16 * part), _mm512_set1_ps(steps[part / 2])));
  };
  // Packing keeps what is too large at the largest, of 16 bits and then of 8; -128 is none of them.
  const __m512i first = _mm512_max_epi16(_mm512_packs_epi32(rounded(0), rounded(1)), least);
  const __m512i second = _mm512_max_epi16(_mm512_packs_epi32(rounded(2), rounded(3)), least);
  const __m512i bytes = _mm512_packs_epi16(first, second);
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(q, _mm512_permutexvar_epi32(in_order, bytes));
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes);
}

/// The same of sixteen blocks; their sums.
inline __m512i quantize_blocks(const float* x, const float* steps, std::int8_t* q) {
  const auto plus = [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); };
  const auto pair = [&](std::uint32_t j) {
    const std::size_t at = std::size_t{j} * x86::quantized_block;
    return quantize_two(x + at, steps + j, q + at);
  };
  __m512i t[4];
#pragma GCC unroll 4
  for (std::uint32_t i = 0; i < 4; ++i) {
    const __m512 a = _mm512_castsi512_ps(pair(4 * i));
    const __m512 b = _mm512_castsi512_ps(pair(4 * i + 2));
    t[i] = plus(_mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)),
                _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD)));
  }
  return fold_runs(t, plus);
}

/// The largest of eight lanes, in each of them.
inline __m512 largest_of_eight(__m512 s) {
  s = _mm512_max_ps(s, _mm512_permute_ps(s, 0xB1));
  s = _mm512_max_ps(s, _mm512_permute_ps(s, 0x4E));
  return _mm512_max_ps(s, _mm512_shuffle_f32x4(s, s, 0xB1));
}

/// Sixteen blocks from block `at` on, whose largest magnitudes stand in `out.sum`.
inline void quantize_together(const float* x, const x86::quantized_row& out, float u,
                              std::uint32_t at) {
  const __m512 units = _mm512_set1_ps(u);
  const __m512 scales = _mm512_div_ps(_mm512_loadu_ps(out.sum + at), _mm512_set1_ps(127.0F));
  __m512 steps;
  if (out.a256) {
    const __m512 largest = _mm512_div_ps(largest_of_eight(scales), _mm512_set1_ps(63.0F));
    const __m512i k = ceil_within(_mm512_div_ps(largest, units), 1, 4095);
    const __m512 ku = _mm512_mul_ps(_mm512_cvtepi32_ps(k), units);
    const __m512i m = ceil_within(_mm512_div_ps(scales, ku), 1, 63);
    steps = _mm512_mul_ps(_mm512_cvtepi32_ps(m), ku);
    _mm512_storeu_si512(out.m + at, m);
    std::int32_t* const of_superblocks = out.k + at / 8;
    of_superblocks[0] = _mm_cvtsi128_si32(_mm512_castsi512_si128(k));
    of_superblocks[1] = _mm_cvtsi128_si32(_mm512_extracti32x4_epi32(k, 2));
  } else {
    const __m512i k = ceil_within(_mm512_div_ps(scales, units), 1, 4095);
    steps = _mm512_mul_ps(_mm512_cvtepi32_ps(k), units);
    _mm512_storeu_si512(out.k + at, k);
    _mm512_storeu_si512(out.m + at, _mm512_set1_epi32(1));
  }
  alignas(64) float each[blocks_together];
  _mm512_store_ps(each, steps);
  const std::size_t first = std::size_t{at} * x86::quantized_block;
  _mm512_storeu_si512(out.sum + at, quantize_blocks(x + first, each, out.q + first));
}

/// What `x86::quantize` does, of the rest of a row with `Lanes`.
template <class Lanes>
bool quantize_row(const float* x, const x86::quantized_row& out) {
  const std::uint32_t together = out.cols / elements_together * elements_together;
  __m512i most = _mm512_setzero_si512();
  for (std::uint32_t i = 0; i < together; i += elements_together) {
    const __m512i largest = largest_of_blocks(x + i);
    _mm512_storeu_si512(out.sum + i / x86::quantized_block, largest);
    most = _mm512_max_epi32(most, largest);
  }
  const std::int32_t bits = _mm512_reduce_max_epi32(most);
  const float whole = bits < 0x7F800000 ? _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)))
                                        : __builtin_inff();
  const float rest = x86::largest_from<Lanes>(x, out.cols, together);
  const float largest = rest > whole ? rest : whole;
  if (!x86::unit_for<Lanes>(largest, out)) {
    return false;
  }
  for (std::uint32_t i = 0; i < together; i += elements_together) {
    quantize_together(x, out, *out.u, i / x86::quantized_block);
  }
  x86::quantize_from<Lanes>(x, out, together);
  return true;
}

} // namespace
} // namespace ovir::compute::avx512

#endif
