// Q4_K on AVX-512 VNNI: superblocks of 256 elements, eight 6-bit scales and mins, D and M.
// S = sum over superblocks of k (D sum_j sc_j m_j dot_j - M sum_j mn_j m_j sum_j).
#if defined(__x86_64__)

#include "compute/integers_avx512.hpp"

namespace ovir::compute::avx512 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
constexpr std::size_t bytes = 144;
constexpr std::size_t nibbles_at = 16;

/// The eight scales (low 8 bytes) and eight mins (high 8 bytes) of a superblock, from its first 16
/// bytes: D and M, then three dwords. The low six bits of the first dword's bytes are sc_0..3, of
/// the second's mn_0..3; the third has four bits of sc_4..7 and of mn_4..7, whose upper two bits
/// are on top of the first and the second.
inline __m128i scales_and_mins(__m128i head) {
  const __m128i pairs = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0xA5), _mm_setr_epi32(0, 2, 0, 2));
  const __m128i fours = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0xFF), _mm_setr_epi32(0, 0, 0, 4));
  const __m128i top =
      _mm_and_si128(pairs, _mm_setr_epi32(0x3F3F3F3F, 0x30303030, 0x3F3F3F3F, 0x30303030));
  return _mm_or_si128(top, _mm_and_si128(fours, _mm_setr_epi32(0, 0x0F0F0F0F, 0, 0x0F0F0F0F)));
}

struct unpacked_superblock {
  __m512i w[superblock / 4]; ///< 0..15, [element / 4][row][4]
  __m512i scale[8];          ///< sc_j of each row
  __m512i min[8];            ///< mn_j and 512 mn_j as 16-bit halves, for `split_sums`
  __m512i d;
  __m512i dmin;
};

/// m_j times the sum of q_j (18 bits and sign) as 512 high + low, both 16 bits, so that one
/// vpdpwssd multiplies it by a min.
template <int Tokens>
inline void split_sums(const std::int32_t* m, const std::int32_t* sum, std::size_t stride,
                       __m256i (&out)[Tokens]) {
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    const std::size_t at = static_cast<std::size_t>(t) * stride;
    const __m256i product = _mm256_mullo_epi32(load_32(m + at), load_32(sum + at));
    const __m256i low = _mm256_and_si256(product, _mm256_set1_epi32(511));
    const __m256i high = _mm256_srai_epi32(product, 9);
    out[t] = _mm256_or_si256(low, _mm256_slli_epi32(high, 16));
  }
}

/// One superblock of 16 rows for `Tokens` tokens. Pointers are at the superblock, of token 0.
template <int Tokens>
inline void superblock_tile(const unpacked_superblock& p, const x86::batch_view& x,
                            const std::int8_t* q, const std::int32_t* k, const std::int32_t* m,
                            const std::int32_t* sum, row_sums* sums) {
  const std::size_t q_stride = x.cols;
  const std::size_t m_stride = x.cols / 32;
  __m512i scaled[Tokens]; // |sum_j sc_j m_j dot_j| <= 1,935,601,920 fits 32 bits
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    scaled[t] = _mm512_setzero_si512();
  }
  for (int j = 0; j < 8; ++j) {
    __m512i dot[Tokens];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      dot[t] = _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const __m512i w = p.w[j * 8 + i];
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        const std::int8_t* four = q + static_cast<std::size_t>(t) * q_stride + j * 32 + i * 4;
        dot[t] = _mm512_dpbusd_epi32(dot[t], w, broadcast(four));
      }
    }
    const __m512i scale = p.scale[j];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const __m512i factor =
          _mm512_mullo_epi32(scale, broadcast(m + static_cast<std::size_t>(t) * m_stride + j));
      scaled[t] = _mm512_add_epi32(scaled[t], _mm512_mullo_epi32(dot[t], factor));
    }
  }
  alignas(32) __m256i split[Tokens];
  split_sums<Tokens>(m, sum, m_stride, split);
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    const auto* pairs = reinterpret_cast<const unsigned char*>(&split[t]);
    __m512i mins = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      mins = _mm512_dpwssd_epi32(mins, p.min[j], broadcast(pairs + 4 * j));
    }
    const __m512i kt = broadcast(k + static_cast<std::size_t>(t) * x.scales);
    const __m512i d = _mm512_mullo_epi32(p.d, kt); // |D| < 2^19, k < 2^12
    const __m512i dmin = _mm512_mullo_epi32(p.dmin, kt);
    sums[t].even = _mm512_add_epi64(sums[t].even, _mm512_sub_epi64(_mm512_mul_epi32(scaled[t], d),
                                                                   _mm512_mul_epi32(mins, dmin)));
    sums[t].odd =
        _mm512_add_epi64(sums[t].odd, _mm512_sub_epi64(_mm512_mul_epi32(odd(scaled[t]), odd(d)),
                                                       _mm512_mul_epi32(odd(mins), odd(dmin))));
  }
}

/// Scales, mins, D and M of one superblock of up to 16 rows, rows into lanes.
inline void unpack_scales(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                          unpacked_superblock& out) {
  __m512i v[16];
  for (std::uint32_t r = 0; r < panel_rows; ++r) {
    v[r] = r < rows ? _mm512_cvtepu8_epi32(scales_and_mins(load_16(data + r * row_bytes)))
                    : _mm512_setzero_si512();
  }
  transpose(v);
  for (int j = 0; j < 8; ++j) {
    out.scale[j] = v[j];
    out.min[j] = _mm512_or_si512(v[8 + j], _mm512_slli_epi32(v[8 + j], 25));
  }
  out.d = row_scales(data, row_bytes, rows);
  out.dmin = row_scales(data + 2, row_bytes, rows);
}

struct q4_k {
  struct panel {
    unpacked_superblock blocks[superblocks_max];
  };
  using sum = row_sums;
  static constexpr std::uint32_t panel_rows = avx512::panel_rows;
  static constexpr int tile_tokens = avx512::tile_tokens;

  static void clear(sum& s) { clear_sums(s); }
  static void store(const sum& s, float power, float* y, std::uint32_t rows) {
    store_sums(s, power, y, rows);
  }

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    const __m512i low = _mm512_set1_epi8(15);
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const unsigned char* block = data + (col / superblock + b) * bytes;
      unpacked_superblock& u = out.blocks[b];
      unpack_scales(block, row_bytes, rows, u);
      for (std::uint32_t half = 0; half < 2; ++half) {
        __m512i v[16];
        load_panel(block + nibbles_at + 64 * half, row_bytes, rows, v);
        // Each 32 bytes (8 dwords) hold 64 elements, the first 32 in the low nibbles.
        for (std::uint32_t i = 0; i < 16; ++i) {
          const std::uint32_t at = 32 * half + i / 8 * 16 + i % 8;
          u.w[at] = _mm512_and_si512(v[i], low);
          u.w[at + 8] = _mm512_and_si512(_mm512_srli_epi16(v[i], 4), low);
        }
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    const std::size_t m_at = std::size_t{token} * (x.cols / 32) + col / 32;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      superblock_tile<Tokens>(p.blocks[b], x, q + b * superblock, k + b, x.m + m_at + b * 8,
                              x.sum + m_at + b * 8, sums);
    }
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]);
};

template <int Tokens>
void q4_k::row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
               std::int64_t (&sums)[Tokens]) {
  // 256-bit registers hold one block of 32 each, so nibbles need no shuffle into element order.
  const __m256i low = _mm256_set1_epi8(15);
  __m256i even[Tokens];
  __m256i odds[Tokens];
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    even[t] = _mm256_setzero_si256();
    odds[t] = _mm256_setzero_si256();
  }
  for (std::uint32_t b = 0; b < x.scales; ++b, data += bytes) {
    prefetch<3>(data);
    __m256i w[8];
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      const __m256i nibbles = load_32(data + nibbles_at + 32 * part);
      w[2 * part] = _mm256_and_si256(nibbles, low);
      w[2 * part + 1] = _mm256_and_si256(_mm256_srli_epi16(nibbles, 4), low);
    }
    const __m128i head = load_16(data);
    const __m128i packed = scales_and_mins(head);
    const __m128i scale = _mm_cvtepu8_epi16(packed);
    const __m256i min = _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(packed, packed));
    // D for the lanes of the scaled sums, -M for the lanes of the mins, as the addition below
    // leaves them.
    const __m128 fixed = _mm_mul_ps(_mm_cvtph_ps(head), _mm_setr_ps(0x1p24F, -0x1p24F, 0, 0));
    const __m256i d_and_min =
        _mm256_broadcastsi128_si256(_mm_shuffle_epi32(_mm_cvtps_epi32(fixed), 0x50));
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = token + static_cast<std::size_t>(t);
      const std::int8_t* q = x.q + at * x.cols + b * superblock;
      const __m256i m = load_32(x.m + at * (x.cols / 32) + b * 8);
      const __m256i sum = load_32(x.sum + at * (x.cols / 32) + b * 8);
      const __m256i factors =
          _mm256_broadcastsi128_si256(_mm_mullo_epi16(scale, _mm256_cvtepi32_epi16(m)));
      __m256i scaled = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (short j = 0; j < 8; ++j) {
        // Pairs of products are at most 3810, sc m at most 3969.
        const __m256i pairs = _mm256_maddubs_epi16(w[j], load_32(q + 32 * j));
        const auto bytes_of_j = static_cast<short>(0x0100 + 0x0202 * j);
        const __m256i factor = _mm256_shuffle_epi8(factors, _mm256_set1_epi16(bytes_of_j));
        scaled = _mm256_dpwssd_epi32(scaled, pairs, factor);
      }
      const __m256i mins = _mm256_mullo_epi32(min, _mm256_mullo_epi32(m, sum));
      const __m256i both = _mm256_hadd_epi32(scaled, mins);
      const __m256i factor =
          _mm256_mullo_epi32(d_and_min, _mm256_set1_epi32(load_i32(x.k + at * x.scales + b)));
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(both, factor));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(both), factor));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

} // namespace

void product_q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q4_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
