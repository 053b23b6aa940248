// The products of packed Q2_K and Q3_K on AVX-512 VNNI: superblocks of 256 elements in sixteen
// groups. Q2_K: S = sum over superblocks of k (D sum_g sc_g m_(g/2) dot_g - M sum_g mn_g m_(g/2)
// sum_g), with scales and mins of 4 bits. Q3_K has no mins, signed 6-bit scales, and weights from
// -4 to 3.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx512/exact_sums.hpp"
#include "compute/kernels/x86/avx512/integers.hpp"

namespace ovir::compute::avx512 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr int groups = 16;

/// What a superblock's rows have beside their weights.
struct superblock_head {
  __m512i scale[groups / 2]; ///< of each row two sc_g, 16 bits each
  __m512i min[groups / 4];   ///< four mn_g as bytes, the two in the middle exchanged; Q2_K
  __m512i d;
  __m512i dmin;
};

/// Numbers of 16 elements from four dwords of each row, bytes with the two in the middle exchanged.
inline void set_scales(superblock_head& out, int quarter, __m512i four) {
  const __m512i even = _mm512_set1_epi32(0x00FF00FF);
  out.scale[2 * quarter] = _mm512_and_si512(four, even);
  out.scale[2 * quarter + 1] = _mm512_and_si512(_mm512_srli_epi32(four, 8), even);
}

/// Pair of bits i of every byte.
__attribute__((always_inline)) inline __m512i two_bits(__m512i line, int i) {
  const __m512i moved = i == 0   ? line
                        : i == 1 ? _mm512_srli_epi16(line, 2)
                        : i == 2 ? _mm512_srli_epi16(line, 4)
                                 : _mm512_srli_epi16(line, 6);
  return _mm512_and_si512(moved, _mm512_set1_epi8(3));
}

/// Superblocks of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_twos {
  static constexpr bool has_mins = true;
  static constexpr std::size_t bytes = layout::q2_k_panel::bytes;
  static constexpr std::size_t pairs_at = layout::q2_k_panel::pairs;

  const unsigned char* data;

  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int block, int side,
                                                                      int i) const {
    const unsigned char* line = data + pairs_at + static_cast<std::size_t>(2 * block + side) * 64;
    if (i == 0) {
      x86::ask_beyond<Asks>(line);
    }
    return two_bits(_mm512_loadu_si512(line), i);
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, pairs_at / 64>(data);
    out.d = load_scales(data);
    out.dmin = load_scales(data + 32);
    const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      const __m512i both = load_line(data + 64, static_cast<std::uint32_t>(quarter));
      set_scales(out, quarter, _mm512_and_si512(both, nibble));
      out.min[quarter] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
  }
};

template <x86::ask_into Asks>
struct packed_threes {
  static constexpr bool has_mins = false;
  static constexpr std::size_t bytes = layout::q3_k_panel::bytes;
  static constexpr std::size_t weights_at = layout::q3_k_panel::weights;
  static constexpr std::size_t block_bytes = layout::q3_k_panel::block_bytes;

  const unsigned char* data;

  /// With 4 added.
  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int block, int side,
                                                                      int i) const {
    const unsigned char* lines = data + weights_at + static_cast<std::size_t>(block) * block_bytes;
    const unsigned char* pairs = lines + static_cast<std::size_t>(1 + side) * 64;
    if (i == 0) {
      x86::ask_beyond<Asks>(pairs);
      if (side == 0) {
        x86::ask_beyond<Asks>(lines);
      }
    }
    return _mm512_or_si512(two_bits(_mm512_loadu_si512(pairs), i),
                           third_bits(_mm512_loadu_si512(lines), 4 * side + i));
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, weights_at / 64>(data);
    out.d = load_scales(data);
    const __m512i low[2] = {load_line(data + 64, 0), load_line(data + 64, 1)};
    const __m512i high = load_line(data + 64, 2);
    set_quarter(out, 0, low[0], _mm512_slli_epi16(high, 4));
    set_quarter(out, 1, low[1], _mm512_slli_epi16(high, 2));
    set_quarter(out, 2, _mm512_srli_epi16(low[0], 4), high);
    set_quarter(out, 3, _mm512_srli_epi16(low[1], 4), _mm512_srli_epi16(high, 2));
  }

private:
  /// Bit `bit` of every byte to bit 2.
  static __attribute__((always_inline)) inline __m512i third_bits(__m512i line, int bit) {
    __m512i moved;
    switch (bit) {
    case 0: moved = _mm512_slli_epi16(line, 2); break;
    case 1: moved = _mm512_slli_epi16(line, 1); break;
    case 2: moved = line; break;
    case 3: moved = _mm512_srli_epi16(line, 1); break;
    case 4: moved = _mm512_srli_epi16(line, 2); break;
    case 5: moved = _mm512_srli_epi16(line, 3); break;
    case 6: moved = _mm512_srli_epi16(line, 4); break;
    default: moved = _mm512_srli_epi16(line, 5); break;
    }
    return _mm512_and_si512(moved, _mm512_set1_epi8(4));
  }
  /// sc_g + 32 of four groups: low nibbles, and two bits from bit 4 on.
  static inline void set_quarter(superblock_head& out, int quarter, __m512i low, __m512i high) {
    set_scales(out, quarter,
               _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi8(15)),
                               _mm512_and_si512(high, _mm512_set1_epi8(0x30))));
    const __m512i bias = _mm512_set1_epi16(32);
    out.scale[2 * quarter] = _mm512_sub_epi16(out.scale[2 * quarter], bias);
    out.scale[2 * quarter + 1] = _mm512_sub_epi16(out.scale[2 * quarter + 1], bias);
  }
};

/// What a token contributes to a superblock beside q.
template <bool HasMins>
struct alignas(64) token_terms {
  std::int32_t bias[HasMins ? 1 : 16];    ///< of Q3_K: -4 times the sum of q of group g
  alignas(32) std::int32_t m[8];          ///< m_j twice, 16 bits each
  std::int8_t digit[3][HasMins ? 16 : 1]; ///< of Q2_K: m_j times that sum in base 128, lowest
                                          ///< first, groups as in `superblock_head::min`

  inline void set(const std::int8_t* q, const std::int32_t* m_of) {
    const __m256i all = load_32(m_of);
    _mm256_store_si256(reinterpret_cast<__m256i*>(m),
                       _mm256_or_si256(all, _mm256_slli_epi32(all, 16)));
    const __m512i sums = group_sums(q); // group g at (g % 4) * 4 + g / 4
    if constexpr (HasMins) {
      const __m512i m_of_lane = _mm512_permutexvar_epi32(
          _mm512_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6, 1, 3, 5, 7, 1, 3, 5, 7),
          _mm512_castsi256_si512(all));
      const __m512i product = _mm512_mullo_epi32(sums, m_of_lane); // 18 bits and a sign
      const __m512i seven = _mm512_set1_epi32(127);
      set_digit(0, _mm512_and_si512(product, seven));
      set_digit(1, _mm512_and_si512(_mm512_srai_epi32(product, 7), seven));
      set_digit(2, _mm512_srai_epi32(product, 14));
    } else {
      _mm512_store_si512(bias,
                         _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, 2)));
    }
  }
  /// Where a dot product of group g starts from.
  [[nodiscard]] inline const std::int32_t* bias_of(int g) const { return bias + g % 4 * 4 + g / 4; }

private:
  inline void set_digit(int place, __m512i values) {
    const __m128i by_quarter = _mm_setr_epi8(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(digit[place]),
                     _mm_shuffle_epi8(_mm512_cvtepi32_epi8(values), by_quarter));
  }
};

/// sum_g mn_g m_(g/2) sum_g of 16 rows.
inline __m512i weighted_mins(const superblock_head& head, const token_terms<true>& terms) {
  __m512i place[3];
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    place[i] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      place[i] =
          _mm512_dpbusd_epi32(place[i], head.min[quarter], broadcast(terms.digit[i] + 4 * quarter));
    }
  }
  return _mm512_add_epi32(
      place[0], _mm512_add_epi32(_mm512_slli_epi32(place[1], 7), _mm512_slli_epi32(place[2], 14)));
}

/// dot_g of 16 rows and `Tokens` tokens, g = 2 block + side: at most 8128 either way.
template <int Tokens, class Source>
inline void group_dots(const Source& source, int block, int side,
                       const token_terms<Source::has_mins>* terms, std::size_t scales,
                       const std::int8_t* q, std::size_t q_stride, __m512i (&dot)[Tokens]) {
  const int g = 2 * block + side;
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    dot[t] = Source::has_mins ? _mm512_setzero_si512()
                              : broadcast(terms[static_cast<std::size_t>(t) * scales].bias_of(g));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i w = source.weights(block, side, i);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const std::int8_t* four = q + static_cast<std::size_t>(t) * q_stride + g * 16 + i * 4;
      dot[t] = add_products(dot[t], w, four);
    }
  }
}

/// One superblock of 16 rows for `Tokens` tokens. Pointers are at the superblock, of token 0.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const superblock_head& head,
                            const token_terms<Source::has_mins>* terms, const std::int8_t* q,
                            std::size_t q_stride, const std::int32_t* k, std::size_t scales,
                            exact_sums* sums) {
  __m512i scaled[Tokens]; // 16 groups of at most 8128 * 32 * 63
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    scaled[t] = _mm512_setzero_si512();
  }
  for (int block = 0; block < groups / 2; ++block) {
    __m512i first[Tokens];
    group_dots<Tokens>(source, block, 0, terms, scales, q, q_stride, first);
    __m512i second[Tokens];
    group_dots<Tokens>(source, block, 1, terms, scales, q, q_stride, second);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const __m512i both =
          _mm512_mask_blend_epi16(0xAAAAAAAA, first[t], _mm512_slli_epi32(second[t], 16));
      const __m512i factor = _mm512_mullo_epi16(
          head.scale[block], broadcast(terms[static_cast<std::size_t>(t) * scales].m + block));
      scaled[t] = _mm512_dpwssd_epi32(scaled[t], both, factor);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    const std::int32_t* const kt = k + static_cast<std::size_t>(t) * scales;
    if constexpr (Source::has_mins) {
      const __m512i mins = weighted_mins(head, terms[static_cast<std::size_t>(t) * scales]);
      sums[t].add_superblock(scaled[t], mins, kt, head.d, head.dmin);
    } else {
      sums[t].add_superblock(scaled[t], kt, head.d);
    }
  }
}

template <template <x86::ask_into> class Packed>
struct sixteenths : panel_format<exact_sums> {

  using terms = token_terms<Packed<x86::ask_into::nothing>::has_mins>;
  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_superblocks<terms>(x, token, count, [&](terms& out, std::size_t i) {
      out.set(x.q + i * superblock, x.m + i * 8);
    });
  }
  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    using source = Packed<Asks>;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    const terms* prepared = prepared_at<terms>(x, token, col);
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes};
      superblock_head head;
      block.load(head);
      superblock_tile<Tokens>(block, head, prepared + b, q + b * superblock, x.cols, k + b,
                              x.scales, sums);
    }
  }
};

} // namespace

void product_q2_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<sixteenths<packed_twos>>(w, first, last, x, y, y_stride);
}

void product_q3_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<sixteenths<packed_threes>>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
