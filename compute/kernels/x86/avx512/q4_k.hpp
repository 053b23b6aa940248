#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/avx512/integers.hpp"

/// Q4_K on AVX-512 VNNI: superblocks of 256 elements, eight 6-bit scales and mins, D and M.
/// S = sum over superblocks of k (D sum_j sc_j m_j dot_j - M sum_j mn_j m_j sum_j).
/// Q5_K has the same around other weights. A source says how many pairs of blocks fit 32 bits.
/// `Sums` is exact_sums, but in bench/exactness.
namespace ovir::compute::avx512 {
namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;

/// What a superblock's rows have beside their nibbles.
struct superblock_head {
  __m512i scale[4]; ///< of each row two sc_j, 16 bits each
  __m512i min[2];   ///< four mn_j as bytes: j = 0, 2, 1, 3; 4, 6, 5, 7
  __m512i d;
  __m512i dmin;

  /// From the three dwords that hold scales and mins, of every row, each with its two bytes in the
  /// middle exchanged, so that neighbours come into one register.
  inline void set_scales(__m512i first, __m512i second, __m512i third) {
    const __m512i six = _mm512_set1_epi32(0x3F3F3F3F);
    const __m512i top = _mm512_set1_epi32(0x30303030);
    const __m512i four = _mm512_set1_epi32(0x0F0F0F0F);
    const auto joined = [&](__m512i low, __m512i high) {
      return _mm512_or_si512(_mm512_and_si512(low, four),
                             _mm512_and_si512(_mm512_srli_epi32(high, 2), top));
    };
    const __m512i scales[2] = {_mm512_and_si512(first, six), joined(third, first)};
    const __m512i even = _mm512_set1_epi32(0x00FF00FF);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      scale[2 * i] = _mm512_and_si512(scales[i], even);
      scale[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi32(scales[i], 8), even);
    }
    min[0] = _mm512_and_si512(second, six);
    min[1] = joined(_mm512_srli_epi32(third, 4), second);
  }
};

/// Weights as bytes, [element / 4][row][4].
struct unpacked_superblock {
  static constexpr int pairs_at_once = 4;          ///< |sum_j sc_j m_j dot_j| <= 1,935,601,920
  static constexpr bool weights_are_narrow = true; ///< at most 15
  static constexpr int odd_shift = 0; ///< blocks of odd numbers have their weights so much higher

  __m512i w[superblock / 4];
  superblock_head head;

  [[nodiscard]] inline __m512i weights(int pair, int side, int i) const {
    return w[pair * 16 + side * 8 + i];
  }
};

/// A superblock of packed weights: d and dmin, three dwords of scales and mins, 32 of nibbles.
template <x86::ask_into Asks>
struct packed_superblock {
  static constexpr int pairs_at_once = 4;
  static constexpr bool weights_are_narrow = true;
  static constexpr int odd_shift = 4; // as they stand: a shift for each line would cost more
  static constexpr std::size_t bytes = layout::q4_k_panel::bytes;
  static constexpr std::size_t scales_at = layout::q4_k_panel::scales;
  static constexpr std::size_t nibbles_at = layout::q4_k_panel::nibbles;

  const unsigned char* data;

  /// Each 8 dwords hold 64 elements, the first 32 in the low nibbles.
  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int pair, int side,
                                                                      int i) const {
    const unsigned char* line = data + nibbles_at + static_cast<std::size_t>(pair * 8 + i) * 64;
    if (side == 0) {
      x86::ask_beyond<Asks>(line);
    }
    const __m512i both = _mm512_loadu_si512(line);
    return _mm512_and_si512(both, _mm512_set1_epi8(static_cast<char>(side == 0 ? 0x0F : 0xF0)));
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, nibbles_at / 64>(data);
    out.d = load_scales(data);
    out.dmin = load_scales(data + 32);
    const unsigned char* at = data + scales_at;
    out.set_scales(load_line(at, 0), load_line(at, 1), load_line(at, 2));
  }
};

/// What a token contributes to a superblock beside q, in the form the tile multiplies by.
struct alignas(64) token_terms {
  alignas(32) std::int32_t m[8];      ///< at 2 i: two m_j as `superblock_head::scale[i]`
  alignas(8) std::int8_t digit[3][8]; ///< m_j times the sum of q_j in base 128, lowest first, with
                                      ///< j as in `superblock_head::min`
  std::int32_t narrow;                ///< not 0: |dot_j| of weights up to 15 fits 16 bits

  inline void set(const std::int32_t* m_of, const std::int32_t* sum, const std::int8_t* q) {
    narrow = dots_are_narrow(q, load_32(sum));
    const __m256i all = load_32(m_of);
    _mm256_store_si256(reinterpret_cast<__m256i*>(m),
                       _mm256_or_si256(all, _mm256_srli_epi64(all, 16)));
    const __m256i product = _mm256_shuffle_epi32(_mm256_mullo_epi32(all, load_32(sum)),
                                                 0xD8); // 18 bits and a sign
    const __m256i seven = _mm256_set1_epi32(127);
    set_digit(0, _mm256_and_si256(product, seven));
    set_digit(1, _mm256_and_si256(_mm256_srai_epi32(product, 7), seven));
    set_digit(2, _mm256_srai_epi32(product, 14));
  }
  [[nodiscard]] inline __m512i factor(int pair) const { return broadcast(m + 2 * pair); }

private:
  /// A dot product lies between 15 times the negative q and 15 times the positive ones. The sum of
  /// the |q| of a block and the size of the sum of its q are at most 2 (2^15 - 1) / 15 together.
  static inline std::int32_t dots_are_narrow(const std::int8_t* q, __m256i sum) {
    constexpr int most = 2 * 32'767 / 15;
    const __m512i halves = group_sizes(q);
    // Lanes 0 and 2: blocks 0, 2, 4, 6 and 1, 3, 5, 7.
    const __m512i sizes = _mm512_add_epi32(halves, _mm512_shuffle_i32x4(halves, halves, 0xB1));
    const __m512i nets =
        _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6, 1, 3, 5, 7, 1, 3, 5, 7),
                                 _mm512_castsi256_si512(_mm256_abs_epi32(sum)));
    return static_cast<std::int32_t>(
        _mm512_cmpgt_epi32_mask(_mm512_add_epi32(sizes, nets), _mm512_set1_epi32(most)) == 0);
  }
  inline void set_digit(int place, __m256i values) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(digit[place]), _mm256_cvtepi32_epi8(values));
  }
};

/// sum_j mn_j m_j sum_j of 16 rows.
inline __m512i weighted_mins(const superblock_head& head, const token_terms& terms) {
  __m512i place[3];
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    const __m512i first =
        _mm512_dpbusd_epi32(_mm512_setzero_si512(), head.min[0], broadcast(terms.digit[i]));
    place[i] = _mm512_dpbusd_epi32(first, head.min[1], broadcast(terms.digit[i] + 4));
  }
  return _mm512_add_epi32(
      place[0], _mm512_add_epi32(_mm512_slli_epi32(place[1], 7), _mm512_slli_epi32(place[2], 14)));
}

/// dot_j of 16 rows and `Tokens` tokens, j = 2 pair + side.
template <int Tokens, class Source>
inline void block_dots(const Source& source, int pair, int side, const std::int8_t* q,
                       std::size_t q_stride, __m512i (&dot)[Tokens]) {
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    dot[t] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512i w = source.weights(pair, side, i);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const std::int8_t* four =
          q + static_cast<std::size_t>(t) * q_stride + pair * 64 + side * 32 + i * 4;
      dot[t] = add_products(dot[t], w, four);
    }
  }
}

/// One superblock of 16 rows for `Tokens` tokens. Pointers are at the superblock, of token 0;
/// tokens have `scales` superblocks.
template <int Tokens, class Source, class Sums>
inline void superblock_tile(const Source& source, const superblock_head& head,
                            const token_terms* terms, const std::int8_t* q, std::size_t q_stride,
                            const std::int32_t* k, std::size_t scales, Sums* sums) {
  for (int done = 0; done < 4; done += Source::pairs_at_once) {
    __m512i scaled[Tokens];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      scaled[t] = _mm512_setzero_si512();
    }
    for (int pair = done; pair < done + Source::pairs_at_once; ++pair) {
      __m512i factor[Tokens]; // sc_j m_j and sc_(j + 1) m_(j + 1), 12 bits each
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        factor[t] = _mm512_mullo_epi16(head.scale[pair],
                                       terms[static_cast<std::size_t>(t) * scales].factor(pair));
      }
      __m512i dot[Tokens];
      block_dots<Tokens>(source, pair, 0, q, q_stride, dot);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        const __m512i low = _mm512_and_si512(factor[t], _mm512_set1_epi32(0xFFFF));
        scaled[t] = _mm512_add_epi32(scaled[t], _mm512_mullo_epi32(dot[t], low));
      }
      block_dots<Tokens>(source, pair, 1, q, q_stride, dot);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        const __m512i high = _mm512_srli_epi32(factor[t], 16);
        const __m512i odd = _mm512_srai_epi32(dot[t], Source::odd_shift);
        scaled[t] = _mm512_add_epi32(scaled[t], _mm512_mullo_epi32(odd, high));
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      const std::int32_t* const kt = k + static_cast<std::size_t>(t) * scales;
      if (done + Source::pairs_at_once < 4) {
        sums[t].add_superblock(scaled[t], kt, head.d);
        continue;
      }
      const __m512i mins = weighted_mins(head, terms[static_cast<std::size_t>(t) * scales]);
      sums[t].add_superblock(scaled[t], mins, kt, head.d, head.dmin);
    }
  }
}

/// The same where every |dot_j| fits 16 bits: those of two blocks meet their factors in one
/// multiplication, while the products of the next two are formed. 84 instead of 88 multiplications
/// for a row and a token.
template <int Tokens, class Source, class Sums>
inline void narrow_tile(const Source& source, const superblock_head& head, const token_terms* terms,
                        const std::int8_t* q, std::size_t q_stride, const std::int32_t* k,
                        std::size_t scales, Sums* sums) {
  constexpr int pairs = 4;
  __m512i scaled[Tokens];
  __m512i both[Tokens]; // of the pair before, 16 bits each
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    scaled[t] = _mm512_setzero_si512();
    both[t] = _mm512_setzero_si512();
  }
  const auto add_pair = [&](int t, int pair) __attribute__((always_inline)) {
    const __m512i factor = _mm512_mullo_epi16(
        head.scale[pair], terms[static_cast<std::size_t>(t) * scales].factor(pair));
    scaled[t] = _mm512_dpwssd_epi32(scaled[t], both[t], factor);
  };
  for (int pair = 0; pair < pairs; ++pair) {
    __m512i dot[2][Tokens];
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        dot[side][t] = _mm512_setzero_si512();
      }
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const __m512i w = source.weights(pair, side, i);
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) {
          const std::int8_t* four =
              q + static_cast<std::size_t>(t) * q_stride + pair * 64 + side * 32 + i * 4;
          dot[side][t] = add_products(dot[side][t], w, four);
        }
        if (side == 0 && i < Tokens) {
          add_pair(i, pair == 0 ? 0 : pair - 1); // before the first pair, of zeros
        }
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      both[t] = _mm512_mask_blend_epi16(0xAAAAAAAAU, dot[0][t],
                                        _mm512_slli_epi32(dot[1][t], 16 - Source::odd_shift));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    add_pair(t, pairs - 1);
    const std::size_t at = static_cast<std::size_t>(t) * scales;
    sums[t].add_superblock(scaled[t], weighted_mins(head, terms[at]), k + at, head.d, head.dmin);
  }
}

/// Whether `narrow_tile` serves a superblock of `Tokens` tokens. With one token memory is what
/// takes the time: there it won nothing on Emerald Rapids and lost a quarter on Zen 4.
template <int Tokens, class Source>
inline bool is_narrow(const Source& /*source*/, const token_terms* terms, std::size_t scales) {
  if (!Source::weights_are_narrow || Tokens == 1) {
    return false;
  }
  std::int32_t narrow = 1;
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    narrow &= terms[static_cast<std::size_t>(t) * scales].narrow;
  }
  return narrow != 0;
}

/// The terms of all superblocks of some tokens.
inline void prepare_terms(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
  prepare_superblocks<token_terms>(x, token, count, [&](token_terms& out, std::size_t i) {
    out.set(x.m + i * 8, x.sum + i * 8, x.q + i * superblock);
  });
}

/// `count` superblocks from column `col` on. `at(b)` is the b-th as a source and its head.
template <int Tokens, class At, class Sums>
inline void superblock_tiles(const At& at, const x86::batch_view& x, std::uint32_t token,
                             std::uint32_t col, std::uint32_t count, Sums* sums) {
  const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
  const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
  const token_terms* terms = prepared_at<token_terms>(x, token, col);
  for (std::uint32_t b = 0; b < count; ++b) {
    at(b, [&](const auto& source, const superblock_head& head) {
      if (is_narrow<Tokens>(source, terms + b, x.scales)) {
        narrow_tile<Tokens>(source, head, terms + b, q + b * superblock, x.cols, k + b, x.scales,
                            sums);
      } else {
        superblock_tile<Tokens>(source, head, terms + b, q + b * superblock, x.cols, k + b,
                                x.scales, sums);
      }
    });
  }
}

/// The heads of one superblock of up to 16 rows. Rows beyond the last repeat it.
inline void load_heads(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                       superblock_head& out) {
  __m512i v[4]; // lane L of v[i] is row 4 L + i
#pragma GCC unroll 4
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto row = [&](std::uint32_t r) {
      return load_16(data + (r < rows ? r : rows - 1) * row_bytes);
    };
    v[i] = _mm512_inserti32x4(
        _mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(row(i)), row(4 + i), 1),
                           row(8 + i), 2),
        row(12 + i), 3);
  }
  const __m512i low[2] = {_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpacklo_epi32(v[2], v[3])};
  const __m512i high[2] = {_mm512_unpackhi_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[2], v[3])};
  const __m512i both = _mm512_unpacklo_epi64(low[0], low[1]);
  out.d = fixed24(_mm512_cvtepi32_epi16(both));
  out.dmin = fixed24(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
  const auto exchanged = [](__m512i x) {
    return _mm512_shuffle_epi8(x,
                               _mm512_set4_epi32(0x0F0D0E0C, 0x0B090A08, 0x07050604, 0x03010200));
  };
  out.set_scales(exchanged(_mm512_unpackhi_epi64(low[0], low[1])),
                 exchanged(_mm512_unpacklo_epi64(high[0], high[1])),
                 exchanged(_mm512_unpackhi_epi64(high[0], high[1])));
}

/// What Q4_K and Q5_K do with packed weights; `Packed` is a superblock of them.
template <template <x86::ask_into> class Packed, class Sums>
struct superblock_format : panel_format<Sums> {
  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_terms(x, token, count);
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, Sums* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) {
      using source = Packed<Asks>;
      const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes};
      superblock_head head;
      block.load(head);
      run(block, head);
    };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }
};

template <class Sums>
struct q4_k : superblock_format<packed_superblock, Sums> {
  struct panel {
    unpacked_superblock blocks[superblocks_max];
  };
  using sum = Sums;

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    const __m512i low = _mm512_set1_epi8(15);
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const unsigned char* block = data + (col / superblock + b) * layout::q4_k_block::bytes;
      unpacked_superblock& u = out.blocks[b];
      load_heads(block, row_bytes, rows, u.head);
      for (std::uint32_t half = 0; half < 2; ++half) {
        __m512i v[16];
        load_panel(block + layout::q4_k_block::nibbles + 64 * half, row_bytes, rows, v);
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
    const auto at = [&](std::uint32_t b, const auto& run) { run(p.blocks[b], p.blocks[b].head); };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]);
};

template <class Sums>
template <int Tokens>
void q4_k<Sums>::row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
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
  for (std::uint32_t b = 0; b < x.scales; ++b, data += layout::q4_k_block::bytes) {
    prefetch<3>(data);
    __m256i w[8];
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      const __m256i nibbles = load_32(data + layout::q4_k_block::nibbles + 32 * part);
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
} // namespace ovir::compute::avx512

#endif
