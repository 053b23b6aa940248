#pragma once

#if defined(__AVX2__) && defined(__F16C__)

#include "compute/intrinsics_x86.hpp"
#include "compute/kernels_panel.hpp"

/// What the AVX2 integer products share: loads, the 8 x 8 transposition that puts rows into lanes,
/// 64-bit sums. Everything is private to the including file (docs/adr/0006).
namespace ovir::compute::avx2 {
namespace {

constexpr std::uint32_t panel_rows = 8;
constexpr int tile_tokens = 4;
/// Few, because each half of a panel's rows reads the same memory.
constexpr std::uint32_t packed_cols = 256;
/// More tokens than this get packed weights turned into bytes first, once for all.
constexpr std::uint32_t packed_tokens_max = 8;

inline std::int32_t load_i32(const void* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline std::uint16_t load_u16(const unsigned char* p) {
  std::uint16_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline __m256i broadcast(const void* p) { return _mm256_set1_epi32(load_i32(p)); }

inline __m256i load_32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m128i load_16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// Each odd 32-bit lane moved to the even lane below, where vpmuldq reads.
inline __m256i odd(__m256i x) { return _mm256_srli_epi64(x, 32); }

/// Finite fp16 values as integer multiples of 2^-24; exact while they fit 32 bits.
inline __m256i fixed24(__m128i halves) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(0x1p24F)));
}

inline std::int32_t fixed24(std::uint16_t half) {
  return _mm_cvtsi128_si32(
      _mm_cvtps_epi32(_mm_mul_ss(_mm_cvtph_ps(_mm_cvtsi32_si128(half)), _mm_set_ss(0x1p24F))));
}

/// The fp16 at `data` of up to 8 rows, as integer multiples of 2^-24.
inline __m256i row_scales(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows) {
  alignas(16) std::uint16_t halves[panel_rows] = {};
  for (std::uint32_t r = 0; r < rows; ++r) {
    halves[r] = load_u16(data + r * row_bytes);
  }
  return fixed24(load_16(halves));
}

/// Transposes 8 rows of 8 dwords.
inline void transpose(__m256i (&v)[8]) {
  __m256i a[8];
  __m256i b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    v[c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x20);
    v[4 + c] = _mm256_permute2x128_si256(b[c], b[4 + c], 0x31);
  }
}

/// Loads 32 bytes of each row and transposes: v[i] holds dword i of every row, lane = row.
inline void load_panel(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                       __m256i (&v)[8]) {
  for (std::uint32_t r = 0; r < panel_rows; ++r) {
    v[r] = r < rows ? load_32(data + r * row_bytes) : _mm256_setzero_si256();
  }
  transpose(v);
}

/// S of 8 rows and one token, in units of 2^-24 u: rows 0, 2, 4, 6 and rows 1, 3, 5, 7.
struct row_sums {
  __m256i even;
  __m256i odd;
};

inline void clear_sums(row_sums& s) {
  s.even = _mm256_setzero_si256();
  s.odd = _mm256_setzero_si256();
}

/// y[low..high) = S rounded once to binary32, times an exact power of two. AVX2 converts 64-bit
/// integers one at a time only.
inline void store_sums(const row_sums& s, float power, float* y, std::uint32_t low,
                       std::uint32_t high) {
  std::int64_t all[panel_rows];
  const __m256i first = _mm256_unpacklo_epi64(s.even, s.odd);  // rows 0, 1, 4, 5
  const __m256i second = _mm256_unpackhi_epi64(s.even, s.odd); // rows 2, 3, 6, 7
  auto* out = reinterpret_cast<__m256i*>(all);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(first, second, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(first, second, 0x31));
  for (std::uint32_t r = low; r < high; ++r) {
    y[r] = static_cast<float>(all[r]) * power;
  }
}

/// What all formats of weights have in common.
struct panel_format {
  using sum = row_sums;
  static constexpr std::uint32_t panel_rows = avx2::panel_rows;
  static constexpr int tile_tokens = avx2::tile_tokens;
  static constexpr std::uint32_t packed_cols = avx2::packed_cols;
  static constexpr std::uint32_t packed_tokens_max = avx2::packed_tokens_max;

  static void clear(sum& s) { clear_sums(s); }
  static void store(const sum& s, float power, float* y, std::uint32_t low, std::uint32_t high) {
    store_sums(s, power, y, low, high);
  }
};

inline std::int64_t sum_of_lanes(__m256i x) {
  const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
}

/// Asks for the memory a row pass needs next; beyond the end of a mapping it does nothing.
template <int Lines>
inline void prefetch(const unsigned char* p) {
#pragma GCC unroll 8
  for (int i = 0; i < Lines; ++i) {
    _mm_prefetch(reinterpret_cast<const char*>(p + 4096 + 64 * i), _MM_HINT_T0);
  }
}

/// One dword of eight rows of a packed panel; `lines` is at the first of these rows.
inline __m256i load_line(const unsigned char* lines, std::uint32_t index) {
  return load_32(lines + std::size_t{index} * 64);
}

/// The fp16 of eight rows.
inline __m256i load_scales(const unsigned char* halves) { return fixed24(load_16(halves)); }

} // namespace
} // namespace ovir::compute::avx2

#endif
