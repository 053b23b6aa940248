#pragma once

#if defined(__AVX2__) && defined(__F16C__)

#include "compute/kernels/x86/avx2/integers.hpp"

/// Q4_K on AVX2: superblocks of 256 elements, eight 6-bit scales and mins, D and M.
/// S = sum over superblocks of k (D sum_j sc_j m_j dot_j - M sum_j mn_j m_j sum_j).
/// Q5_K has the same around other weights. A source says how many pairs of blocks fit 32 bits, and
/// how many sums of pairs of products 16.
namespace ovir::compute::avx2 {
namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;

/// What a superblock's rows have beside their nibbles: of each row two neighbours, 16 bits each.
struct superblock_head {
  __m256i scale[4];
  __m256i min[4];
  __m256i d;
  __m256i dmin;
};

/// Weights as bytes, [element / 4][row][4], of both halves of sixteen rows.
template <int PairsAtOnce, int SumsAtOnce>
struct unpacked_bytes {
  static constexpr int pairs_at_once = PairsAtOnce;
  static constexpr int sums_at_once = SumsAtOnce;

  __m256i w[superblock / 4][2];
  superblock_head head[2];

  [[nodiscard]] inline __m256i weights(int half, int pair, int side, int i) const {
    return w[pair * 16 + side * 8 + i][half];
  }
};

/// Of nibbles |sum_j sc_j m_j dot_j| <= 1,935,601,920, and eight sums of at most 15 * 127 * 2 fit.
using unpacked_superblock = unpacked_bytes<4, 8>;

/// `low`: six bits of the first four numbers in each byte, above them the upper two bits of the
/// last four, whose lower bits are in `rest`. The two bytes in the middle are exchanged.
inline void set_pairs(__m256i low, __m256i rest, __m256i (&out)[4]) {
  const __m256i top = _mm256_and_si256(_mm256_srli_epi32(low, 2), _mm256_set1_epi32(0x30303030));
  const __m256i bytes_of[2] = {
      _mm256_and_si256(low, _mm256_set1_epi32(0x3F3F3F3F)),
      _mm256_or_si256(_mm256_and_si256(rest, _mm256_set1_epi32(0x0F0F0F0F)), top)};
  const __m256i even = _mm256_set1_epi32(0x00FF00FF);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    out[2 * i] = _mm256_and_si256(bytes_of[i], even);
    out[2 * i + 1] = _mm256_and_si256(_mm256_srli_epi32(bytes_of[i], 8), even);
  }
}

/// The heads of a superblock of packed weights, the four lines before its weights.
template <x86::ask_into Asks>
__attribute__((always_inline)) inline void load_heads(const unsigned char* data,
                                                      superblock_head (&out)[2]) {
  x86::ask_beyond_lines<Asks, layout::q4_k_panel::nibbles / 64>(data);
#pragma GCC unroll 2
  for (std::size_t half = 0; half < 2; ++half) {
    superblock_head& head = out[half];
    head.d = load_scales(data + 16 * half);
    head.dmin = load_scales(data + layout::q4_k_panel::dmin + 16 * half);
    const unsigned char* lines = data + layout::q4_k_panel::scales + 32 * half;
    const __m256i third = load_line(lines, 2);
    set_pairs(load_line(lines, 0), third, head.scale);
    set_pairs(load_line(lines, 1), _mm256_srli_epi32(third, 4), head.min);
  }
}

/// A superblock of packed weights: d and dmin, three dwords of scales and mins, 32 of nibbles.
template <x86::ask_into Asks>
struct packed_superblock {
  static constexpr int pairs_at_once = unpacked_superblock::pairs_at_once;
  static constexpr int sums_at_once = unpacked_superblock::sums_at_once;
  static constexpr std::size_t bytes = layout::q4_k_panel::bytes;

  const unsigned char* data;

  /// Each 8 dwords hold 64 elements, the first 32 in the low nibbles.
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int pair, int side,
                                                                      int i) const {
    const auto at = static_cast<std::uint32_t>(pair * 8 + i);
    const unsigned char* first = data + layout::q4_k_panel::nibbles + std::size_t{at} * 64;
    if (half == 0 && side == 0) {
      x86::ask_beyond<Asks>(first);
    }
    const __m256i line = load_32(first + 32 * half);
    return _mm256_and_si256(side == 0 ? line : _mm256_srli_epi16(line, 4), _mm256_set1_epi8(15));
  }
};

/// What a token contributes to a superblock beside q: of each pair of blocks at 2 i two numbers of
/// 16 bits. m_j times the sum of q_j has 18 bits and a sign: 512 high + low.
struct token_terms {
  alignas(32) std::int32_t m[8];
  alignas(32) std::int32_t low[8];
  alignas(32) std::int32_t high[8];

  inline void set(const std::int8_t* /*q*/, const std::int32_t* m_of, const std::int32_t* sum) {
    const __m256i all = load_32(m_of);
    const __m256i product = _mm256_mullo_epi32(all, load_32(sum));
    set_pairs(all, m);
    set_pairs(_mm256_and_si256(product, _mm256_set1_epi32(511)), low);
    set_pairs(_mm256_and_si256(_mm256_srai_epi32(product, 9), _mm256_set1_epi32(0xFFFF)), high);
  }

private:
  static inline void set_pairs(__m256i x, std::int32_t* to) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to),
                       _mm256_or_si256(x, _mm256_srli_epi64(x, 16)));
  }
};

/// sum_j mn_j m_j sum_j of 8 rows.
inline __m256i weighted_mins(const superblock_head& head, const token_terms& terms) {
  __m256i low = _mm256_setzero_si256();
  __m256i high = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int pair = 0; pair < 4; ++pair) {
    const __m256i min = head.min[pair];
    low = _mm256_add_epi32(low, _mm256_madd_epi16(min, broadcast(terms.low + 2 * pair)));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(min, broadcast(terms.high + 2 * pair)));
  }
  return _mm256_add_epi32(low, _mm256_slli_epi32(high, 9));
}

using token_view = superblock_tokens<token_terms>;

/// One block of sixteen rows for `Tokens` tokens: scaled += factor dot. The factors are in one half
/// of each dword of `factor`.
template <int Tokens, class Source>
inline void add_block(const Source& source, int pair, int side, const token_view& x,
                      const __m256i (&factor)[2][Tokens], __m256i (&scaled)[2][Tokens]) {
  // Doubles the half of each dword that belongs to this side.
  const __m256i half_of = _mm256_set1_epi64x(side == 0 ? 0x0504050401000100 : 0x0706070603020302);
  const __m256i both =
      _mm256_add_epi8(half_of, _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0808080808080808, 0)));
#pragma GCC unroll 2
  for (int done = 0; done < 8; done += Source::sums_at_once) {
    __m256i pairs[2][Tokens];
    clear(pairs);
#pragma GCC unroll 8
    for (int i = done; i < done + Source::sums_at_once; ++i) {
      const __m256i w[2] = {source.weights(0, pair, side, i), source.weights(1, pair, side, i)};
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i four = broadcast(x.q_of(t) + pair * 64 + side * 32 + i * 4);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          pairs[half][t] = _mm256_add_epi16(pairs[half][t], _mm256_maddubs_epi16(w[half], four));
        }
      }
      keep_sums(pairs);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i twice = _mm256_shuffle_epi8(factor[half][t], both);
        scaled[half][t] =
            _mm256_add_epi32(scaled[half][t], _mm256_madd_epi16(pairs[half][t], twice));
      }
    }
  }
}

/// Adds `scaled` D k of 8 rows.
inline void add_scaled(row_sums& sums, __m256i scaled, __m256i d) {
  sums.even = _mm256_add_epi64(sums.even, _mm256_mul_epi32(scaled, d));
  sums.odd = _mm256_add_epi64(sums.odd, _mm256_mul_epi32(odd(scaled), odd(d)));
}

/// Subtracts M k sum_j mn_j m_j sum_j of 8 rows.
inline void subtract_mins(row_sums& sums, const superblock_head& head, const token_terms& terms,
                          __m256i k) {
  const __m256i mins = weighted_mins(head, terms);
  const __m256i dmin = _mm256_mullo_epi32(head.dmin, k); // |M| < 2^19, k < 2^12
  sums.even = _mm256_sub_epi64(sums.even, _mm256_mul_epi32(mins, dmin));
  sums.odd = _mm256_sub_epi64(sums.odd, _mm256_mul_epi32(odd(mins), odd(dmin)));
}

/// One superblock of sixteen rows for `Tokens` tokens.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const superblock_head (&head)[2],
                            const token_view& x, panel_sums* sums) {
  for (int done = 0; done < 4; done += Source::pairs_at_once) {
    __m256i scaled[2][Tokens];
    clear(scaled);
    for (int pair = done; pair < done + Source::pairs_at_once; ++pair) {
      __m256i factor[2][Tokens];
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
          factor[half][t] =
              _mm256_mullo_epi16(head[half].scale[pair], broadcast(x.terms_of(t).m + 2 * pair));
        }
      }
      add_block<Tokens>(source, pair, 0, x, factor, scaled);
      add_block<Tokens>(source, pair, 1, x, factor, scaled);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        // |D| < 2^19, k < 2^12
        add_scaled(sums[t].half[half], scaled[half][t],
                   _mm256_mullo_epi32(head[half].d, x.k_of(t)));
      }
    }
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      subtract_mins(sums[t].half[half], head[half], x.terms_of(t), x.k_of(t));
    }
  }
}

/// `count` superblocks from column `col` on. `at(b)` is the b-th as a source and its heads.
template <int Tokens, class At>
inline void superblock_tiles(const At& at, const x86::batch_view& x, std::uint32_t token,
                             std::uint32_t col, std::uint32_t count, panel_sums* sums) {
  token_view tokens{x, token, col};
  for (std::uint32_t b = 0; b < count; ++b) {
    at(b, [&](const auto& source, const superblock_head(&head)[2]) {
      superblock_tile<Tokens>(source, head, tokens, sums);
    });
    tokens.next();
  }
}

/// Weights [..][half] of a superblock in a panel.
template <class Source, class Unpacked>
inline void unpack_weights(const Source& block, Unpacked& out) {
  for (int pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        out.w[pair * 16 + i][half] = block.weights(half, pair, 0, i);
        out.w[pair * 16 + 8 + i][half] = block.weights(half, pair, 1, i);
      }
    }
  }
}

/// What Q4_K and Q5_K do with packed weights. `Packed` is a superblock of them, `Unpacked` of
/// bytes.
template <template <x86::ask_into> class Packed, class Unpacked>
struct superblock_format : panel_format {
  struct panel {
    Unpacked blocks[superblocks_max];
  };

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    token_view::prepare(x, token, count);
  }

  template <x86::ask_into Asks>
  static Packed<Asks> packed_at(const x86::packed_panel& from, std::uint32_t index) {
    return {from.data + std::size_t{index} * Packed<Asks>::bytes};
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      constexpr auto nothing = x86::ask_into::nothing;
      const Packed<nothing> block = packed_at<nothing>(from, col / superblock + b);
      load_heads<nothing>(block.data, out.blocks[b].head);
      unpack_weights(block, out.blocks[b]);
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, panel_sums* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) { run(p.blocks[b], p.blocks[b].head); };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, panel_sums* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) {
      const Packed<Asks> block = packed_at<Asks>(p, col / superblock + b);
      superblock_head head[2];
      load_heads<Asks>(block.data, head);
      run(block, head);
    };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }
};

/// Scales, mins, D and M of one superblock of up to 8 rows, rows into lanes.
inline void unpack_scales(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                          superblock_head& out) {
  __m256i scales[8];
  __m256i mins[8];
  for (std::uint32_t r = 0; r < half_rows; ++r) {
    scales[r] = mins[r] = _mm256_setzero_si256();
    if (r < rows) {
      const __m128i both = scales_and_mins(load_16(data + r * row_bytes));
      scales[r] = _mm256_cvtepu8_epi32(both);
      mins[r] = _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(both, both));
    }
  }
  transpose(scales);
  transpose(mins);
  for (int i = 0; i < 4; ++i) {
    out.scale[i] = _mm256_or_si256(scales[2 * i], _mm256_slli_epi32(scales[2 * i + 1], 16));
    out.min[i] = _mm256_or_si256(mins[2 * i], _mm256_slli_epi32(mins[2 * i + 1], 16));
  }
  out.d = row_scales(data, row_bytes, rows);
  out.dmin = row_scales(data + 2, row_bytes, rows);
}

struct q4_k : superblock_format<packed_superblock, unpacked_superblock> {
  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const unsigned char* block = data + (col / superblock + b) * layout::q4_k_block::bytes;
      for (std::uint32_t half = 0; half < 2; ++half) {
        unpack_half(block + std::size_t{half} * half_rows * row_bytes, row_bytes,
                    rows_of_half(rows, half), half, out.blocks[b]);
      }
    }
  }

  static void unpack_half(const unsigned char* block, std::size_t row_bytes, std::uint32_t rows,
                          std::uint32_t half, unpacked_superblock& out) {
    const __m256i low = _mm256_set1_epi8(15);
    unpack_scales(block, row_bytes, rows, out.head[half]);
    for (std::uint32_t part = 0; part < 4; ++part) {
      __m256i v[8];
      load_panel(block + layout::q4_k_block::nibbles + 32 * part, row_bytes, rows, v);
      // Each 32 bytes (8 dwords) hold 64 elements, the first 32 in the low nibbles.
      for (std::uint32_t i = 0; i < 8; ++i) {
        out.w[16 * part + i][half] = _mm256_and_si256(v[i], low);
        out.w[16 * part + 8 + i][half] = _mm256_and_si256(_mm256_srli_epi16(v[i], 4), low);
      }
    }
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]);
};

template <int Tokens>
void q4_k::row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
               std::int64_t (&sums)[Tokens]) {
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
      const __m128i m16 =
          _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
      const __m256i factors = _mm256_broadcastsi128_si256(_mm_mullo_epi16(scale, m16));
      __m256i pick = _mm256_set1_epi16(0x0100); // bytes 2j and 2j + 1 of each half
      __m256i scaled = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) {
        const __m256i nibbles = load_32(data + layout::q4_k_block::nibbles + 32 * part);
        const __m256i first = _mm256_and_si256(nibbles, low);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(nibbles, 4), low);
        scaled = _mm256_add_epi32(
            scaled, _mm256_madd_epi16(_mm256_maddubs_epi16(first, load_32(q + 64 * part)),
                                      _mm256_shuffle_epi8(factors, pick)));
        pick = _mm256_add_epi8(pick, _mm256_set1_epi8(2));
        scaled = _mm256_add_epi32(
            scaled, _mm256_madd_epi16(_mm256_maddubs_epi16(second, load_32(q + 64 * part + 32)),
                                      _mm256_shuffle_epi8(factors, pick)));
        pick = _mm256_add_epi8(pick, _mm256_set1_epi8(2));
      }
      const __m256i mins = _mm256_mullo_epi32(min, _mm256_mullo_epi32(m, sum));
      const __m256i both = _mm256_hadd_epi32(scaled, mins);
      const __m256i factor = _mm256_mullo_epi32(d_and_min, broadcast(x.k + at * x.scales + b));
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(both, factor));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(both), factor));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

} // namespace
} // namespace ovir::compute::avx2

#endif
