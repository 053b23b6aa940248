#pragma once

#if defined(__AVX2__) && defined(__F16C__)

#include "compute/kernels/x86/panel.hpp"
#include "compute/kernels/x86/rows_256.hpp"
#include "compute/tensor/layouts.hpp"

/// What the AVX2 integer products share: loads, the 8 x 8 transposition that puts rows into lanes,
/// 64-bit sums. Everything is private to the including file (docs/adr/0002-kernels.md).
namespace ovir::compute::avx2 {
namespace {

using namespace x86;

/// A register has a lane for each of so many rows: everything comes twice for a panel.
constexpr std::uint32_t half_rows = x86::panel_rows / 2;
constexpr int tile_tokens = 4;
/// More tokens than this get packed weights turned into bytes first, once for all.
constexpr std::uint32_t packed_tokens_max = 8;

inline __m256i broadcast(const void* p) { return _mm256_set1_epi32(load_i32(p)); }

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
  alignas(16) std::uint16_t halves[half_rows] = {};
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
  for (std::uint32_t r = 0; r < half_rows; ++r) {
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
  std::int64_t all[half_rows];
  const __m256i first = _mm256_unpacklo_epi64(s.even, s.odd);  // rows 0, 1, 4, 5
  const __m256i second = _mm256_unpackhi_epi64(s.even, s.odd); // rows 2, 3, 6, 7
  auto* out = reinterpret_cast<__m256i*>(all);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(first, second, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(first, second, 0x31));
  for (std::uint32_t r = low; r < high; ++r) {
    y[r] = static_cast<float>(all[r]) * power;
  }
}

/// to[low..high) = S.
inline void store_sums_exact(const row_sums& s, std::int64_t* to, std::uint32_t low,
                             std::uint32_t high) {
  alignas(32) std::int64_t all[2][half_rows / 2];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all[0]), s.even);
  _mm256_store_si256(reinterpret_cast<__m256i*>(all[1]), s.odd);
  for (std::uint32_t r = low; r < high; ++r) {
    to[r] = all[r % 2][r / 2];
  }
}

/// S of the rows of a panel and one token.
struct panel_sums {
  row_sums half[2];
};

template <int Tokens>
inline void clear(__m256i (&sums)[2][Tokens]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      sums[half][t] = _mm256_setzero_si256();
    }
  }
}

/// Keeps the sums in registers, in the order of the loops: GCC would first form all products of a
/// block, which fit no registers, and then add them in pairs.
template <int Tokens>
__attribute__((always_inline)) inline void keep_sums(__m256i (&sums)[2][Tokens]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      asm("" : "+x"(sums[half][t]));
    }
  }
}

/// What all formats of weights have in common. Tiles take both halves of a panel at once: each
/// token's elements are then loaded once for two multiplications, and memory is read line by line,
/// not first halves, waiting, and then second ones from cache.
struct panel_format {
  using sum = panel_sums;
  static constexpr int tile_tokens = avx2::tile_tokens;
  static constexpr std::uint32_t packed_tokens_max = avx2::packed_tokens_max;

  static void clear(sum& s) {
    clear_sums(s.half[0]);
    clear_sums(s.half[1]);
  }
  static void store(const sum& s, float power, float* y, std::uint32_t low, std::uint32_t high) {
    constexpr std::uint32_t half = half_rows;
    if (low < half) {
      store_sums(s.half[0], power, y, low, high < half ? high : half);
    }
    if (high > half) {
      store_sums(s.half[1], power, y + half, low < half ? 0 : low - half, high - half);
    }
  }
  static void store_exact(const sum& s, std::int64_t* to, std::uint32_t low, std::uint32_t high) {
    constexpr std::uint32_t half = half_rows;
    if (low < half) {
      store_sums_exact(s.half[0], to, low, high < half ? high : half);
    }
    if (high > half) {
      store_sums_exact(s.half[1], to + half, low < half ? 0 : low - half, high - half);
    }
  }
};

/// `Tokens` tokens at a superblock of 256 columns: q, k and prepared terms of the first, and how
/// far the next one's are.
template <class Terms>
struct superblock_tokens {
  const std::int8_t* q;
  std::size_t q_stride;
  const std::int32_t* k;
  const Terms* terms;
  std::size_t stride; ///< of k and terms

  superblock_tokens(const x86::batch_view& x, std::uint32_t token, std::uint32_t col)
      : q(x.q + std::size_t{token} * x.cols + col), q_stride(x.cols),
        k(x.k + std::size_t{token} * x.scales + col / 256),
        terms(reinterpret_cast<const Terms*>(x.prepared) +
              std::size_t{token} % x86::panel_tokens * x.scales + col / 256),
        stride(x.scales) {}

  /// Works out the terms of `count` tokens from a superblock's q, m and sums.
  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    static_assert(sizeof(Terms) <= x86::prepared_bytes);
    auto* const out = reinterpret_cast<Terms*>(x.prepared);
    const std::size_t first = std::size_t{token} * x.scales;
    for (std::size_t i = 0; i < std::size_t{count} * x.scales; ++i) {
      const std::size_t at = first + i;
      out[i].set(x.q + at * 256, x.m + at * 8, x.sum + at * 8);
    }
  }
  void next() {
    q += 256;
    ++k;
    ++terms;
  }
  [[nodiscard]] inline const std::int8_t* q_of(int t) const {
    return q + static_cast<std::size_t>(t) * q_stride;
  }
  [[nodiscard]] inline __m256i k_of(int t) const {
    return broadcast(k + static_cast<std::size_t>(t) * stride);
  }
  [[nodiscard]] inline const Terms& terms_of(int t) const {
    return terms[static_cast<std::size_t>(t) * stride];
  }
};

/// The rows of one half of a panel that has `rows` rows.
inline std::uint32_t rows_of_half(std::uint32_t rows, std::uint32_t half) {
  const std::uint32_t first = half * half_rows;
  const std::uint32_t left = rows > first ? rows - first : 0;
  return left < half_rows ? left : half_rows;
}

/// Where sums of pairs of products of unsigned weights start that stand for others higher by
/// `Offset`: that times the sums of q, of elements 0 to 15 (the first dword) and 16 to 31 (the
/// second), apart for the halves of dwords that meet them.
template <int Offset>
inline __m128i starts_of_groups(const std::int8_t* q) {
  static_assert(Offset * 127 * 8 <= 32767 && Offset * 127 * 8 >= -32767, "16 bits");
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), load_32(q));
  const __m256i twos = _mm256_add_epi16(pairs, _mm256_srli_epi64(pairs, 32));
  const __m256i fours = _mm256_add_epi16(twos, _mm256_unpackhi_epi64(twos, twos));
  const __m128i groups =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  return _mm_mullo_epi16(groups, _mm_set1_epi16(Offset));
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
