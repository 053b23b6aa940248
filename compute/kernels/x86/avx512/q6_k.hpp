#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/avx512/integers.hpp"

/// Q6_K on AVX-512 VNNI: superblocks of 256 elements of 6 bits, sixteen signed 8-bit scales, D.
/// S = sum over superblocks of k D sum_g sc_g m_(g/2) dot_g, where dot_g covers 16 elements.
/// `Sums` is exact_sums, but in bench/exactness.
namespace ovir::compute::avx512 {
namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
constexpr int groups = 16;

struct unpacked_superblock {
  __m512i w[superblock / 4]; ///< 0..63, standing for -32..31; [element / 4][row][4]
  __m512i scale[groups];     ///< sc_g of each row
  __m512i d;

  [[nodiscard]] inline __m512i weights(int quarter, int i) const { return w[quarter * 16 + i]; }
  [[nodiscard]] inline __m512i scales(int g) const { return scale[g]; }
};

/// A superblock of packed weights: d; 16 scales; four quarters of 64 elements, each 8 dwords of low
/// nibbles (the first 32 elements', the last 32 elements') of which the first 4 are followed by one
/// of high bits.
template <x86::ask_into Asks>
struct packed_superblock {
  static constexpr std::size_t bytes = layout::q6_k_panel::bytes;
  static constexpr std::size_t quarter_bytes = layout::q6_k_panel::quarter_bytes;
  static constexpr std::size_t scales_at = layout::q6_k_panel::scales;
  static constexpr std::size_t quarters_at = layout::q6_k_panel::quarters;
  /// Asked for with each quarter, so that the whole is in even steps. What is left is one line.
  static constexpr std::size_t asked_bytes = bytes / 64 / 4 * 64;
  static_assert(4 * asked_bytes + 64 == bytes);

  const unsigned char* data;
  __m512i d;

  __attribute__((always_inline)) explicit inline packed_superblock(const unsigned char* p)
      : data(p), d(load_scales(p)) {
    x86::ask_beyond<Asks>(data + 4 * asked_bytes);
  }

  /// Elements 64 quarter + 4 i.
  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int quarter, int i) const {
    const unsigned char* lines =
        data + quarters_at + static_cast<std::size_t>(quarter) * quarter_bytes;
    const auto at = static_cast<std::uint32_t>(i);
    const std::uint32_t low_at = at % 8 < 4 ? at % 8 * 2 : 4 + at % 8;
    if (at < asked_bytes / 64) {
      x86::ask_beyond<Asks>(data + static_cast<std::size_t>(quarter) * asked_bytes + at * 64);
    }
    const __m512i low = load_line(lines, low_at);
    const __m512i high = load_line(lines, at % 4 * 2 + 1);
    const __m512i nibble = at < 8 ? low : _mm512_srli_epi16(low, 4);
    const __m512i two = at < 4    ? _mm512_slli_epi16(high, 4)
                        : at < 8  ? _mm512_slli_epi16(high, 2)
                        : at < 12 ? high
                                  : _mm512_srli_epi16(high, 2);
    return _mm512_or_si512(_mm512_and_si512(nibble, _mm512_set1_epi8(15)),
                           _mm512_and_si512(two, _mm512_set1_epi8(0x30)));
  }
  [[nodiscard]] inline __m512i scales(int g) const {
    return _mm512_cvtepi8_epi32(load_16(data + scales_at + 16 * g));
  }
};

/// -32 times the sum of q over group g at index (g % 4) * 4 + g / 4: what a dot product with
/// weights biased by 32 starts from.
struct group_biases {
  alignas(64) std::int32_t at[groups];

  inline void of(const std::int8_t* q) {
    _mm512_store_si512(
        at, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(group_sums(q), 5)));
  }

  [[nodiscard]] inline const std::int32_t* group(int g) const { return at + g % 4 * 4 + g / 4; }
};

/// The dot products of two groups (32 elements) with their scales: sc_g dot_g + sc_g+1 dot_g+1.
template <int Tokens, class Source>
inline void two_groups(const Source& source, int quarter, int pair, const std::int8_t* q,
                       std::size_t q_stride, const group_biases* bias, std::size_t scales,
                       __m512i (&out)[Tokens]) {
  const int g = 4 * quarter + 2 * pair;
#pragma GCC unroll 2
  for (int side = 0; side < 2; ++side) {
    __m512i dot[Tokens];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      dot[t] = broadcast(bias[static_cast<std::size_t>(t) * scales].group(g + side));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512i w = source.weights(quarter, 8 * pair + 4 * side + i);
      keep_order();
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        const std::int8_t* four =
            q + static_cast<std::size_t>(t) * q_stride + (g + side) * 16 + i * 4;
        dot[t] = add_products(dot[t], w, four);
      }
    }
    const __m512i scale = source.scales(g + side);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const __m512i scaled = _mm512_mullo_epi32(dot[t], scale);
      out[t] = side == 0 ? scaled : _mm512_add_epi32(out[t], scaled);
    }
  }
}

/// One superblock of 16 rows for `Tokens` tokens. Pointers are at the superblock, of token 0.
template <int Tokens, class Source, class Sums>
inline void superblock_tile(const Source& source, const x86::batch_view& x,
                            const group_biases* bias, const std::int8_t* q, const std::int32_t* k,
                            const std::int32_t* m, Sums* sums) {
  const std::size_t m_stride = x.cols / 32;
  // 64 elements at a time: 4 groups of at most 65,024 * 128 * 63 fit 32 bits, 256 elements do not.
  for (int g = 0; g < groups; g += 4) {
    __m512i first[Tokens];
    two_groups<Tokens>(source, g / 4, 0, q, x.cols, bias, x.scales, first);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      first[t] = _mm512_mullo_epi32(first[t],
                                    broadcast(m + static_cast<std::size_t>(t) * m_stride + g / 2));
    }
    __m512i second[Tokens];
    two_groups<Tokens>(source, g / 4, 1, q, x.cols, bias, x.scales, second);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = static_cast<std::size_t>(t);
      const __m512i scaled = _mm512_add_epi32(
          first[t], _mm512_mullo_epi32(second[t], broadcast(m + at * m_stride + g / 2 + 1)));
      sums[t].add_superblock(scaled, k + at * x.scales, source.d);
    }
  }
}

template <class Sums>
struct q6_k : panel_format<Sums> {
  struct panel {
    unpacked_superblock blocks[superblocks_max];
  };
  using sum = Sums;

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_superblocks<group_biases>(
        x, token, count, [&](group_biases& out, std::size_t i) { out.of(x.q + i * superblock); });
  }
  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      unpack_superblock(data + (col / superblock + b) * layout::q6_k_block::bytes, row_bytes, rows,
                        out.blocks[b]);
    }
  }

  static void unpack_superblock(const unsigned char* block, std::size_t row_bytes,
                                std::uint32_t rows, unpacked_superblock& out) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i top = _mm512_set1_epi8(0x30);
    __m512i v[16];
    for (std::uint32_t r = 0; r < panel_rows; ++r) {
      v[r] = r < rows
                 ? _mm512_cvtepi8_epi32(load_16(block + r * row_bytes + layout::q6_k_block::scales))
                 : _mm512_setzero_si512();
    }
    transpose(v);
    for (int g = 0; g < groups; ++g) {
      out.scale[g] = v[g];
    }
    out.d = row_scales(block + layout::q6_k_block::d, row_bytes, rows);
    __m512i high[16];
    load_panel(block + layout::q6_k_block::high, row_bytes, rows, high);
    for (std::uint32_t half = 0; half < 2; ++half) {
      load_panel(block + 64 * half, row_bytes, rows, v);
      for (std::uint32_t i = 0; i < 8; ++i) {
        const __m512i h = high[8 * half + i];
        __m512i* w = out.w + 32 * half + i;
        const auto join = [&](__m512i low_bits, __m512i high_bits) {
          return _mm512_or_si512(_mm512_and_si512(low_bits, nibble),
                                 _mm512_and_si512(high_bits, top));
        };
        w[0] = join(v[i], _mm512_slli_epi16(h, 4));
        w[8] = join(v[8 + i], _mm512_slli_epi16(h, 2));
        w[16] = join(_mm512_srli_epi16(v[i], 4), h);
        w[24] = join(_mm512_srli_epi16(v[8 + i], 4), _mm512_srli_epi16(h, 2));
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    const std::int32_t* m = x.m + std::size_t{token} * (x.cols / 32) + col / 32;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    const group_biases* bias = prepared_at<group_biases>(x, token, col);
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      superblock_tile<Tokens>(p.blocks[b], x, bias + b, q + b * superblock, k + b, m + b * 8, sums);
    }
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    const std::int32_t* m = x.m + std::size_t{token} * (x.cols / 32) + col / 32;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    const group_biases* bias = prepared_at<group_biases>(x, token, col);
    const auto add_all = [&](sum * to) __attribute__((always_inline)) {
      for (std::uint32_t b = 0; b < cols / superblock; ++b) {
        using source = packed_superblock<Asks>;
        const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes};
        superblock_tile<Tokens>(block, x, bias + b, q + b * superblock, k + b, m + b * 8, to);
      }
    };
    if constexpr (Tokens == 1) {
      sum kept = *sums; // in registers, not stored for each quarter
      add_all(&kept);
      *sums = kept;
    } else {
      add_all(sums);
    }
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]);
};

/// 0..63 of a superblock in element order, 32 at a time.
inline void unpack_row(const unsigned char* data, __m256i (&w)[8]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m256i first = load_32(data + 64 * half);
    const __m256i second = load_32(data + 64 * half + 32);
    const __m256i high = load_32(data + layout::q6_k_block::high + 32 * half);
    w[4 * half] = join(first, _mm256_slli_epi16(high, 4));
    w[4 * half + 1] = join(second, _mm256_slli_epi16(high, 2));
    w[4 * half + 2] = join(_mm256_srli_epi16(first, 4), high);
    w[4 * half + 3] = join(_mm256_srli_epi16(second, 4), _mm256_srli_epi16(high, 2));
  }
}

template <class Sums>
template <int Tokens>
void q6_k<Sums>::row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                     std::int64_t (&sums)[Tokens]) {
  // 256-bit registers: on a Zen 4, in alternating runs of one thread, 4 % slower than 512-bit ones
  // from cache and 20 to 35 % faster from memory, where rows come from; the cause is not isolated.
  // The even groups' scales go to the low half, the odd groups' to the high half, as elements 0..15
  // and 16..31 of a block do.
  const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const __m256i bias = _mm256_set1_epi8(32);
  __m256i even[Tokens];
  __m256i odds[Tokens];
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    even[t] = _mm256_setzero_si256();
    odds[t] = _mm256_setzero_si256();
  }
  for (std::uint32_t b = 0; b < x.scales; ++b, data += layout::q6_k_block::bytes) {
    prefetch<4>(data);
    __m256i w[8];
    unpack_row(data, w);
    const __m256i scale =
        _mm256_cvtepi8_epi16(_mm_shuffle_epi8(load_16(data + layout::q6_k_block::scales), apart));
    const __m128 d =
        _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(data + layout::q6_k_block::d))),
                   _mm_set1_ps(0x1p24F));
    const __m256i fixed = _mm256_broadcastd_epi32(_mm_cvtps_epi32(d));
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = token + static_cast<std::size_t>(t);
      const std::int8_t* q = x.q + at * x.cols + b * superblock;
      const __m128i m16 = _mm256_cvtepi32_epi16(load_32(x.m + at * (x.cols / 32) + b * 8));
      const __m256i factors = _mm256_mullo_epi16(scale, _mm256_broadcastsi128_si256(m16));
      __m256i scaled = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (short j = 0; j < 8; ++j) {
        // 63 * 127 * 2 fits 16 bits; without the bias pairs are at most 8128, sc m at most 8064,
        // and each lane takes eight products of two.
        const __m256i qj = load_32(q + 32 * j);
        const __m256i pairs =
            _mm256_sub_epi16(_mm256_maddubs_epi16(w[j], qj), _mm256_maddubs_epi16(bias, qj));
        const auto bytes_of_j = static_cast<short>(0x0100 + 0x0202 * j);
        const __m256i factor = _mm256_shuffle_epi8(factors, _mm256_set1_epi16(bytes_of_j));
        scaled = _mm256_dpwssd_epi32(scaled, pairs, factor);
      }
      const __m256i k = _mm256_set1_epi32(load_i32(x.k + at * x.scales + b));
      const __m256i factor = _mm256_mullo_epi32(fixed, k);
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(scaled, factor));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(scaled), factor));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

} // namespace
} // namespace ovir::compute::avx512

#endif
