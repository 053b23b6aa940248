// The products of packed Q2_K and Q3_K on AVX2: superblocks of 256 elements in sixteen groups.
// Q2_K: S = sum over superblocks of k (D sum_g sc_g m_(g/2) dot_g - M sum_g mn_g m_(g/2) sum_g),
// with scales and mins of 4 bits. Q3_K has no mins, signed 6-bit scales, and weights from -4 to 3.
#if defined(__x86_64__)

#include "compute/integers_avx2.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
constexpr std::size_t terms_max = superblocks_max;
constexpr int groups = 16;

/// What a superblock's rows have beside their weights: of each row two neighbours, 16 bits each.
struct superblock_head {
  __m256i scale[groups / 2];
  __m256i min[groups / 2]; ///< of Q2_K
  __m256i d;
  __m256i dmin;
};

/// Numbers of 16 elements from four bytes of each row, the two in the middle exchanged.
inline void set_pairs(__m256i four, __m256i* out) {
  const __m256i even = _mm256_set1_epi32(0x00FF00FF);
  out[0] = _mm256_and_si256(four, even);
  out[1] = _mm256_and_si256(_mm256_srli_epi32(four, 8), even);
}

/// Pair of bits i of every byte.
__attribute__((always_inline)) inline __m256i two_bits(__m256i line, int i) {
  const __m256i moved = i == 0   ? line
                        : i == 1 ? _mm256_srli_epi16(line, 2)
                        : i == 2 ? _mm256_srli_epi16(line, 4)
                                 : _mm256_srli_epi16(line, 6);
  return _mm256_and_si256(moved, _mm256_set1_epi8(3));
}

/// Superblocks of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_twos {
  static constexpr bool has_mins = true;
  static constexpr std::size_t bytes = 1344;
  static constexpr std::size_t pairs_at = 320;

  const unsigned char* data;
  std::size_t first_row;

  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int block, int side,
                                                                      int i) const {
    const unsigned char* line = data + pairs_at + static_cast<std::size_t>(2 * block + side) * 64;
    if (i == 0) {
      x86::ask_beyond<Asks>(line);
    }
    return two_bits(load_32(line + 4 * first_row), i);
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, pairs_at / 64>(data);
    out.d = load_scales(data + 2 * first_row);
    out.dmin = load_scales(data + 32 + 2 * first_row);
    const __m256i nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      const __m256i both =
          load_line(data + 64 + 4 * first_row, static_cast<std::uint32_t>(quarter));
      set_pairs(_mm256_and_si256(both, nibble), out.scale + 2 * quarter);
      set_pairs(_mm256_and_si256(_mm256_srli_epi16(both, 4), nibble), out.min + 2 * quarter);
    }
  }
};

template <x86::ask_into Asks>
struct packed_threes {
  static constexpr bool has_mins = false;
  static constexpr std::size_t bytes = 1792;
  static constexpr std::size_t weights_at = 256;
  static constexpr std::size_t block_bytes = 192;

  const unsigned char* data;
  std::size_t first_row;

  /// With 4 added.
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int block, int side,
                                                                      int i) const {
    const unsigned char* lines = data + weights_at + static_cast<std::size_t>(block) * block_bytes;
    const unsigned char* pairs = lines + static_cast<std::size_t>(1 + side) * 64;
    if (i == 0) {
      x86::ask_beyond<Asks>(pairs);
      if (side == 0) {
        x86::ask_beyond<Asks>(lines);
      }
    }
    return _mm256_or_si256(two_bits(load_32(pairs + 4 * first_row), i),
                           third_bits(load_32(lines + 4 * first_row), 4 * side + i));
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, weights_at / 64>(data);
    out.d = load_scales(data + 2 * first_row);
    const unsigned char* scales = data + 64 + 4 * first_row;
    const __m256i low[2] = {load_line(scales, 0), load_line(scales, 1)};
    const __m256i high = load_line(scales, 2);
    set_quarter(out, 0, low[0], _mm256_slli_epi16(high, 4));
    set_quarter(out, 1, low[1], _mm256_slli_epi16(high, 2));
    set_quarter(out, 2, _mm256_srli_epi16(low[0], 4), high);
    set_quarter(out, 3, _mm256_srli_epi16(low[1], 4), _mm256_srli_epi16(high, 2));
  }

private:
  /// Bit `bit` of every byte to bit 2.
  static __attribute__((always_inline)) inline __m256i third_bits(__m256i line, int bit) {
    __m256i moved;
    switch (bit) {
    case 0: moved = _mm256_slli_epi16(line, 2); break;
    case 1: moved = _mm256_slli_epi16(line, 1); break;
    case 2: moved = line; break;
    case 3: moved = _mm256_srli_epi16(line, 1); break;
    case 4: moved = _mm256_srli_epi16(line, 2); break;
    case 5: moved = _mm256_srli_epi16(line, 3); break;
    case 6: moved = _mm256_srli_epi16(line, 4); break;
    default: moved = _mm256_srli_epi16(line, 5); break;
    }
    return _mm256_and_si256(moved, _mm256_set1_epi8(4));
  }
  /// sc_g + 32 of four groups: low nibbles, and two bits from bit 4 on.
  static inline void set_quarter(superblock_head& out, int quarter, __m256i low, __m256i high) {
    __m256i* const pairs = out.scale + 2 * quarter;
    set_pairs(_mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi8(15)),
                              _mm256_and_si256(high, _mm256_set1_epi8(0x30))),
              pairs);
    pairs[0] = _mm256_sub_epi16(pairs[0], _mm256_set1_epi16(32));
    pairs[1] = _mm256_sub_epi16(pairs[1], _mm256_set1_epi16(32));
  }
};

/// Weights as bytes, [element / 4][row][4].
template <class Packed>
struct unpacked_superblock {
  static constexpr bool has_mins = Packed::has_mins;

  __m256i w[superblock / 4];
  superblock_head head;

  [[nodiscard]] inline __m256i weights(int block, int side, int i) const {
    return w[block * 8 + side * 4 + i];
  }
};

/// What a token contributes to a superblock beside q.
struct token_terms {
  std::int32_t m[groups / 2]; ///< m_j twice, 16 bits each
  std::int32_t bias[groups];  ///< of Q3_K: -4 times the sum of q of group g, in the lower half
  /// Of Q2_K, of neighbours: m_j times that sum, which has 18 bits and a sign, is 512 high + low.
  std::int32_t low[groups / 2];
  std::int32_t high[groups / 2];

  inline void set(const std::int8_t* q, const std::int32_t* m_of) {
    for (int j = 0; j < groups / 2; ++j) {
      // Sums of eight elements in 16-bit lanes, then of 16.
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), load_32(q + 32 * j));
      const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
      const __m256i eights = _mm256_hadd_epi32(fours, fours);
      const __m256i sums = _mm256_hadd_epi32(eights, eights);
      const std::int32_t first = _mm256_extract_epi32(sums, 0);
      const std::int32_t second = _mm256_extract_epi32(sums, 4);
      m[j] = m_of[j] | m_of[j] << 16;
      bias[2 * j] = -4 * first & 0xFFFF;
      bias[2 * j + 1] = -4 * second & 0xFFFF;
      const std::int32_t a = m_of[j] * first;
      const std::int32_t b = m_of[j] * second;
      low[j] = (a & 511) | (b & 511) << 16;
      high[j] = ((a >> 9) & 0xFFFF) |
                static_cast<std::int32_t>(static_cast<std::uint32_t>(b >> 9) << 16U);
    }
  }
};

/// sum_g mn_g m_(g/2) sum_g of 8 rows.
inline __m256i weighted_mins(const superblock_head& head, const token_terms& terms) {
  __m256i low = _mm256_setzero_si256();
  __m256i high = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int j = 0; j < groups / 2; ++j) {
    low = _mm256_add_epi32(low, _mm256_madd_epi16(head.min[j], broadcast(terms.low + j)));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(head.min[j], broadcast(terms.high + j)));
  }
  return _mm256_add_epi32(low, _mm256_slli_epi32(high, 9));
}

/// Group g = 2 block + side of 8 rows for `Tokens` tokens: scaled += factor dot. The factors are in
/// one half of each dword of `factor`.
template <int Tokens, class Source>
inline void add_group(const Source& source, int block, int side, const token_terms* terms,
                      const std::int8_t* q, std::size_t q_stride, const __m256i (&factor)[Tokens],
                      __m256i (&scaled)[Tokens]) {
  const int g = 2 * block + side;
  __m256i pairs[Tokens]; // four pair sums of at most 7 * 127 * 2, less at most 4 * 2032
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    pairs[t] = Source::has_mins
                   ? _mm256_setzero_si256()
                   : broadcast(terms[static_cast<std::size_t>(t) * terms_max].bias + g);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256i w = source.weights(block, side, i);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::int8_t* four = q + static_cast<std::size_t>(t) * q_stride + g * 16 + i * 4;
      pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(w, broadcast(four)));
    }
  }
  // Doubles the half of each dword that belongs to this side.
  const __m256i half = _mm256_set1_epi64x(side == 0 ? 0x0504050401000100 : 0x0706070603020302);
  const __m256i both =
      _mm256_add_epi8(half, _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0808080808080808, 0)));
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    const __m256i twice = _mm256_shuffle_epi8(factor[t], both);
    scaled[t] = _mm256_add_epi32(scaled[t], _mm256_madd_epi16(pairs[t], twice));
  }
}

/// One superblock of 8 rows for `Tokens` tokens. Pointers are at the superblock, of token 0.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const superblock_head& head,
                            const token_terms* terms, const std::int8_t* q, std::size_t q_stride,
                            const std::int32_t* k, std::size_t k_stride, row_sums* sums) {
  __m256i scaled[Tokens]; // 16 groups of at most 8128 * 32 * 63
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    scaled[t] = _mm256_setzero_si256();
  }
  for (int block = 0; block < groups / 2; ++block) {
    __m256i factor[Tokens];
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      factor[t] = _mm256_mullo_epi16(
          head.scale[block], broadcast(terms[static_cast<std::size_t>(t) * terms_max].m + block));
    }
    add_group<Tokens>(source, block, 0, terms, q, q_stride, factor, scaled);
    add_group<Tokens>(source, block, 1, terms, q, q_stride, factor, scaled);
  }
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    const __m256i kt = broadcast(k + static_cast<std::size_t>(t) * k_stride);
    const __m256i d = _mm256_mullo_epi32(head.d, kt); // |D| < 2^19, k < 2^12
    sums[t].even = _mm256_add_epi64(sums[t].even, _mm256_mul_epi32(scaled[t], d));
    sums[t].odd = _mm256_add_epi64(sums[t].odd, _mm256_mul_epi32(odd(scaled[t]), odd(d)));
    if (Source::has_mins) {
      const __m256i mins = weighted_mins(head, terms[static_cast<std::size_t>(t) * terms_max]);
      const __m256i dmin = _mm256_mullo_epi32(head.dmin, kt);
      sums[t].even = _mm256_sub_epi64(sums[t].even, _mm256_mul_epi32(mins, dmin));
      sums[t].odd = _mm256_sub_epi64(sums[t].odd, _mm256_mul_epi32(odd(mins), odd(dmin)));
    }
  }
}

template <template <x86::ask_into> class Packed>
struct sixteenths : panel_format {
  using nothing = Packed<x86::ask_into::nothing>;
  struct panel {
    unpacked_superblock<nothing> blocks[superblocks_max];
  };

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const nothing block{from.data + (std::size_t{col} / superblock + b) * nothing::bytes,
                          from.first_row};
      block.load(out.blocks[b].head);
      for (int j = 0; j < groups / 2; ++j) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          out.blocks[b].w[j * 8 + i] = block.weights(j, 0, i);
          out.blocks[b].w[j * 8 + 4 + i] = block.weights(j, 1, i);
        }
      }
    }
  }

  /// `at(b)` is the b-th superblock from column `col` on as a source and its head.
  template <int Tokens, class At>
  static void tiles(const At& at, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                    std::uint32_t cols, sum* sums) {
    const std::size_t m_stride = x.cols / 32;
    const std::int32_t* m = x.m + token * m_stride + col / 32;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    token_terms terms[Tokens][terms_max];
    for (std::size_t t = 0; t < Tokens; ++t) {
      for (std::uint32_t b = 0; b < cols / superblock; ++b) {
        terms[t][b].set(q + t * x.cols + b * superblock, m + t * m_stride + b * 8);
      }
    }
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      at(b, [&](const auto& source, const superblock_head& head) {
        superblock_tile<Tokens>(source, head, &terms[0][b], q + b * superblock, x.cols, k + b,
                                x.scales, sums);
      });
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) { run(p.blocks[b], p.blocks[b].head); };
    tiles<Tokens>(at, x, token, col, cols, sums);
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) {
      using source = Packed<Asks>;
      const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes, p.first_row};
      superblock_head head;
      block.load(head);
      run(block, head);
    };
    tiles<Tokens>(at, x, token, col, cols, sums);
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

} // namespace ovir::compute::avx2

#endif
