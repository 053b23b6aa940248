// The products of packed Q2_K and Q3_K on AVX2: superblocks of 256 elements in sixteen groups.
// Q2_K: S = sum over superblocks of k (D sum_g sc_g m_(g/2) dot_g - M sum_g mn_g m_(g/2) sum_g),
// with scales and mins of 4 bits. Q3_K has no mins, signed 6-bit scales, and weights from -4 to 3.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/integers.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
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
  static constexpr std::size_t bytes = layout::q2_k_panel::bytes;
  static constexpr std::size_t pairs_at = layout::q2_k_panel::pairs;

  const unsigned char* data;

  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int block, int side,
                                                                      int i) const {
    const unsigned char* line = data + pairs_at + static_cast<std::size_t>(2 * block + side) * 64;
    if (half == 0 && i == 0) {
      x86::ask_beyond<Asks>(line);
    }
    return two_bits(load_32(line + 32 * half), i);
  }
  __attribute__((always_inline)) inline void load(superblock_head (&out)[2]) const {
    x86::ask_beyond_lines<Asks, pairs_at / 64>(data);
    load_half(0, out[0]);
    load_half(1, out[1]);
  }

private:
  __attribute__((always_inline)) inline void load_half(std::size_t half,
                                                       superblock_head& out) const {
    out.d = load_scales(data + 16 * half);
    out.dmin = load_scales(data + 32 + 16 * half);
    const __m256i nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
      const __m256i both = load_line(data + 64 + 32 * half, static_cast<std::uint32_t>(quarter));
      set_pairs(_mm256_and_si256(both, nibble), out.scale + 2 * quarter);
      set_pairs(_mm256_and_si256(_mm256_srli_epi16(both, 4), nibble), out.min + 2 * quarter);
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
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int block, int side,
                                                                      int i) const {
    const unsigned char* lines = data + weights_at + static_cast<std::size_t>(block) * block_bytes;
    const unsigned char* pairs = lines + static_cast<std::size_t>(1 + side) * 64;
    if (half == 0 && i == 0) {
      x86::ask_beyond<Asks>(pairs);
      if (side == 0) {
        x86::ask_beyond<Asks>(lines);
      }
    }
    return _mm256_or_si256(two_bits(load_32(pairs + 32 * half), i),
                           third_bits(load_32(lines + 32 * half), 4 * side + i));
  }
  __attribute__((always_inline)) inline void load(superblock_head (&out)[2]) const {
    x86::ask_beyond_lines<Asks, weights_at / 64>(data);
    load_half(0, out[0]);
    load_half(1, out[1]);
  }

private:
  __attribute__((always_inline)) inline void load_half(std::size_t half,
                                                       superblock_head& out) const {
    out.d = load_scales(data + 16 * half);
    const unsigned char* scales = data + 64 + 32 * half;
    const __m256i low[2] = {load_line(scales, 0), load_line(scales, 1)};
    const __m256i high = load_line(scales, 2);
    set_quarter(out, 0, low[0], _mm256_slli_epi16(high, 4));
    set_quarter(out, 1, low[1], _mm256_slli_epi16(high, 2));
    set_quarter(out, 2, _mm256_srli_epi16(low[0], 4), high);
    set_quarter(out, 3, _mm256_srli_epi16(low[1], 4), _mm256_srli_epi16(high, 2));
  }

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

/// Weights as bytes, [element / 4][half][row][4].
template <class Packed>
struct unpacked_superblock {
  static constexpr bool has_mins = Packed::has_mins;

  __m256i w[superblock / 4][2];
  superblock_head head[2];

  [[nodiscard]] inline __m256i weights(int half, int block, int side, int i) const {
    return w[block * 8 + side * 4 + i][half];
  }
};

/// What a token contributes to a superblock beside q.
struct token_terms {
  std::int32_t m[groups / 2]; ///< m_j twice, 16 bits each
  std::int32_t bias[groups];  ///< of Q3_K: -4 times the sum of q of group g, in the lower half
  /// Of Q2_K, of neighbours: m_j times that sum, which has 18 bits and a sign, is 512 high + low.
  std::int32_t low[groups / 2];
  std::int32_t high[groups / 2];

  inline void set(const std::int8_t* q, const std::int32_t* m_of, const std::int32_t* /*sum*/) {
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

using token_view = superblock_tokens<token_terms>;

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

/// Group g = 2 block + side of sixteen rows for `Tokens` tokens: scaled += factor dot. The factors
/// are in one half of each dword of `factor`.
template <int Tokens, class Source>
inline void add_group(const Source& source, int block, int side, const token_view& x,
                      const __m256i (&factor)[2][Tokens], __m256i (&scaled)[2][Tokens]) {
  const int g = 2 * block + side;
  __m256i pairs[2][Tokens]; // four pair sums of at most 7 * 127 * 2, less at most 4 * 2032
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    pairs[0][t] = pairs[1][t] =
        Source::has_mins ? _mm256_setzero_si256() : broadcast(x.terms_of(t).bias + g);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256i w[2] = {source.weights(0, block, side, i), source.weights(1, block, side, i)};
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const __m256i four = broadcast(x.q_of(t) + g * 16 + i * 4);
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        pairs[half][t] = _mm256_add_epi16(pairs[half][t], _mm256_maddubs_epi16(w[half], four));
      }
    }
    keep_sums(pairs);
  }
  // Doubles the half of each dword that belongs to this side.
  const __m256i half_of = _mm256_set1_epi64x(side == 0 ? 0x0504050401000100 : 0x0706070603020302);
  const __m256i both =
      _mm256_add_epi8(half_of, _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0808080808080808, 0)));
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const __m256i twice = _mm256_shuffle_epi8(factor[half][t], both);
      scaled[half][t] = _mm256_add_epi32(scaled[half][t], _mm256_madd_epi16(pairs[half][t], twice));
    }
  }
}

/// Adds what a superblock of 8 rows contributes.
template <bool HasMins>
inline void add_superblock(row_sums& sums, __m256i scaled, const superblock_head& head,
                           const token_terms& terms, __m256i k) {
  const __m256i d = _mm256_mullo_epi32(head.d, k); // |D| < 2^19, k < 2^12
  sums.even = _mm256_add_epi64(sums.even, _mm256_mul_epi32(scaled, d));
  sums.odd = _mm256_add_epi64(sums.odd, _mm256_mul_epi32(odd(scaled), odd(d)));
  if constexpr (HasMins) {
    const __m256i mins = weighted_mins(head, terms);
    const __m256i dmin = _mm256_mullo_epi32(head.dmin, k);
    sums.even = _mm256_sub_epi64(sums.even, _mm256_mul_epi32(mins, dmin));
    sums.odd = _mm256_sub_epi64(sums.odd, _mm256_mul_epi32(odd(mins), odd(dmin)));
  }
}

/// One superblock of sixteen rows for `Tokens` tokens.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const superblock_head (&head)[2],
                            const token_view& x, panel_sums* sums) {
  __m256i scaled[2][Tokens]; // 16 groups of at most 8128 * 32 * 63
  clear(scaled);
  for (int block = 0; block < groups / 2; ++block) {
    __m256i factor[2][Tokens];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        factor[half][t] =
            _mm256_mullo_epi16(head[half].scale[block], broadcast(x.terms_of(t).m + block));
      }
    }
    add_group<Tokens>(source, block, 0, x, factor, scaled);
    add_group<Tokens>(source, block, 1, x, factor, scaled);
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      add_superblock<Source::has_mins>(sums[t].half[half], scaled[half][t], head[half],
                                       x.terms_of(t), x.k_of(t));
    }
  }
}

template <template <x86::ask_into> class Packed>
struct sixteenths : panel_format {
  using nothing = Packed<x86::ask_into::nothing>;
  struct panel {
    unpacked_superblock<nothing> blocks[superblocks_max];
  };

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    token_view::prepare(x, token, count);
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const nothing block{from.data + (std::size_t{col} / superblock + b) * nothing::bytes};
      block.load(out.blocks[b].head);
      for (int j = 0; j < groups / 2; ++j) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          for (int half = 0; half < 2; ++half) {
            out.blocks[b].w[j * 8 + i][half] = block.weights(half, j, 0, i);
            out.blocks[b].w[j * 8 + 4 + i][half] = block.weights(half, j, 1, i);
          }
        }
      }
    }
  }

  /// `at(b)` is the b-th superblock from column `col` on as a source and its head.
  template <int Tokens, class At>
  static void tiles(const At& at, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                    std::uint32_t cols, sum* sums) {
    token_view tokens{x, token, col};
    for (std::uint32_t b = 0; b < cols / superblock; ++b, tokens.next()) {
      at(b, [&](const auto& source, const superblock_head(&head)[2]) {
        superblock_tile<Tokens>(source, head, tokens, sums);
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
      const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes};
      superblock_head head[2];
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
