// Q6_K on AVX2: superblocks of 256 elements of 6 bits, sixteen signed 8-bit scales, D.
// S = sum over superblocks of k D sum_g sc_g m_(g/2) dot_g, where dot_g covers 16 elements.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/integers.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
constexpr int groups = 16;

/// Of a superblock and sixteen rows: weights as bytes 0..63 that stand for -32..31, [element /
/// 4][half][row][4]; sc_g of each row, in both 16-bit halves; D.
struct unpacked_superblock {
  __m256i w[superblock / 4][2];
  __m256i scale[groups][2];
  __m256i d[2];

  [[nodiscard]] inline __m256i weights(int half, int quarter, int i) const {
    return w[quarter * 16 + i][half];
  }
  [[nodiscard]] inline __m256i scales(int half, int g) const { return scale[g][half]; }
};

/// Numbers of 16 bits and a sign, in both halves of their dwords.
inline __m256i doubled(__m256i x) {
  return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                    0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13)));
}

/// A superblock of packed weights: d; 16 scales; four quarters of 64 elements, each 8 dwords of low
/// nibbles (the first 32 elements', the last 32 elements') of which the first 4 are followed by one
/// of high bits.
template <x86::ask_into Asks>
struct packed_superblock {
  static constexpr std::size_t bytes = layout::q6_k_panel::bytes;
  static constexpr std::size_t quarter_bytes = layout::q6_k_panel::quarter_bytes;
  static constexpr std::size_t scales_at = layout::q6_k_panel::scales;
  static constexpr std::size_t quarters_at = layout::q6_k_panel::quarters;

  const unsigned char* data;
  __m256i d[2];

  __attribute__((always_inline)) inline explicit packed_superblock(const unsigned char* p)
      : data(p), d{load_scales(p), load_scales(p + 16)} {
    x86::ask_beyond_lines<Asks, quarters_at / 64>(data);
  }

  /// Elements 64 quarter + 4 i.
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int quarter,
                                                                      int i) const {
    const unsigned char* first =
        data + quarters_at + static_cast<std::size_t>(quarter) * quarter_bytes;
    const unsigned char* lines = first + 32 * half;
    const auto at = static_cast<std::uint32_t>(i);
    const std::uint32_t low_at = at % 8 < 4 ? at % 8 * 2 : 4 + at % 8;
    if (half == 0 && at < 8) {
      x86::ask_beyond<Asks>(first + std::size_t{low_at} * 64);
    }
    if (half == 0 && at < 4) {
      x86::ask_beyond<Asks>(first + std::size_t{low_at + 1} * 64);
    }
    const __m256i low = load_line(lines, low_at);
    const __m256i high = load_line(lines, at % 4 * 2 + 1);
    const __m256i two = at < 4    ? _mm256_slli_epi16(high, 4)
                        : at < 8  ? _mm256_slli_epi16(high, 2)
                        : at < 12 ? high
                                  : _mm256_srli_epi16(high, 2);
    return join(at < 8 ? low : _mm256_srli_epi16(low, 4), two);
  }
  [[nodiscard]] inline __m256i scales(int half, int g) const {
    return doubled(_mm256_cvtepi8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(data + scales_at + 16 * g + 8 * half))));
  }
};

/// What a token contributes to a superblock beside q: where the sums of each group begin, so that
/// weights may stand for others lower by 32, and m_j.
struct token_terms {
  std::int32_t start[groups];
  std::int32_t m[8];

  inline void set(const std::int8_t* q, const std::int32_t* m_of, const std::int32_t* /*sum*/) {
    for (int j = 0; j < 8; ++j) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(start + 2 * j),
                       starts_of_groups<-32>(q + 32 * j));
    }
    __builtin_memcpy(m, m_of, sizeof m);
  }
};

using token_view = superblock_tokens<token_terms>;

/// Group g = 4 quarter + in_quarter of sixteen rows for `Tokens` tokens: scaled += sc_g dot_g.
template <int Tokens, class Source>
inline void add_group(const Source& source, const token_view& x, int quarter, int in_quarter,
                      __m256i (&scaled)[2][Tokens]) {
  const int g = 4 * quarter + in_quarter;
  __m256i pairs[2][Tokens]; // four pair sums of at most 32 * 127 * 2 stay within 16 bits
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    pairs[0][t] = pairs[1][t] = broadcast(x.terms_of(t).start + g);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256i w[2] = {source.weights(0, quarter, 4 * in_quarter + i),
                          source.weights(1, quarter, 4 * in_quarter + i)};
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
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m256i scale = source.scales(half, g);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      scaled[half][t] = _mm256_add_epi32(scaled[half][t], _mm256_madd_epi16(pairs[half][t], scale));
    }
  }
}

/// One superblock of sixteen rows for `Tokens` tokens.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const token_view& x, panel_sums* sums) {
  // 64 elements at a time: 4 groups of at most 65,024 * 128 * 63 fit 32 bits, 256 elements do not.
  for (int quarter = 0; quarter < 4; ++quarter) {
    __m256i scaled[2][Tokens];
    clear(scaled);
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      __m256i block[2][Tokens];
      clear(block);
      add_group<Tokens>(source, x, quarter, 2 * j, block);
      add_group<Tokens>(source, x, quarter, 2 * j + 1, block);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i m = broadcast(x.terms_of(t).m + 2 * quarter + j);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          scaled[half][t] =
              _mm256_add_epi32(scaled[half][t], _mm256_mullo_epi32(block[half][t], m));
        }
      }
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i d = _mm256_mullo_epi32(source.d[half], x.k_of(t)); // |D| < 2^19, k < 2^12
        row_sums& sum = sums[t].half[half];
        sum.even = _mm256_add_epi64(sum.even, _mm256_mul_epi32(scaled[half][t], d));
        sum.odd = _mm256_add_epi64(sum.odd, _mm256_mul_epi32(odd(scaled[half][t]), odd(d)));
      }
    }
  }
}

/// Scales of one superblock of up to 8 rows, rows into lanes, doubled into 16-bit halves.
inline void unpack_scales(const unsigned char* block, std::size_t row_bytes, std::uint32_t rows,
                          std::uint32_t half, unpacked_superblock& out) {
  for (int part = 0; part < 2; ++part) {
    __m256i v[8];
    for (std::uint32_t r = 0; r < half_rows; ++r) {
      v[r] = r < rows ? _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(
                            block + r * row_bytes + layout::q6_k_block::scales + 8 * part)))
                      : _mm256_setzero_si256();
    }
    transpose(v);
    for (int g = 0; g < 8; ++g) {
      out.scale[8 * part + g][half] = doubled(v[g]);
    }
  }
}

struct q6_k : panel_format {
  static constexpr bool asks_soon_alone = true; // 1.03 to 1.10 on Zen 3

  struct panel {
    unpacked_superblock blocks[superblocks_max];
  };

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    token_view::prepare(x, token, count);
  }

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const unsigned char* block = data + (col / superblock + b) * layout::q6_k_block::bytes;
      for (std::uint32_t half = 0; half < 2; ++half) {
        unpack_half(block + std::size_t{half} * half_rows * row_bytes, row_bytes,
                    rows_of_half(rows, half), half, out.blocks[b]);
      }
    }
  }

  static void unpack_half(const unsigned char* block, std::size_t row_bytes, std::uint32_t rows,
                          std::uint32_t half, unpacked_superblock& out) {
    unpack_scales(block, row_bytes, rows, half, out);
    out.d[half] = row_scales(block + layout::q6_k_block::d, row_bytes, rows);
    for (std::uint32_t part = 0; part < 2; ++part) {
      __m256i first[8];
      __m256i second[8];
      __m256i high[8];
      load_panel(block + 64 * part, row_bytes, rows, first);
      load_panel(block + 64 * part + 32, row_bytes, rows, second);
      load_panel(block + layout::q6_k_block::high + 32 * part, row_bytes, rows, high);
      for (std::uint32_t i = 0; i < 8; ++i) {
        __m256i(*w)[2] = out.w + 32 * part + i;
        w[0][half] = join(first[i], _mm256_slli_epi16(high[i], 4));
        w[8][half] = join(second[i], _mm256_slli_epi16(high[i], 2));
        w[16][half] = join(_mm256_srli_epi16(first[i], 4), high[i]);
        w[24][half] = join(_mm256_srli_epi16(second[i], 4), _mm256_srli_epi16(high[i], 2));
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    token_view tokens{x, token, col};
    for (std::uint32_t b = 0; b < cols / superblock; ++b, tokens.next()) {
      superblock_tile<Tokens>(p.blocks[b], tokens, sums);
    }
  }

  template <x86::ask_into Asks>
  static packed_superblock<Asks> packed_at(const x86::packed_panel& from, std::uint32_t index) {
    return packed_superblock<Asks>{from.data + std::size_t{index} * packed_superblock<Asks>::bytes};
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const packed_superblock<x86::ask_into::nothing> block =
          packed_at<x86::ask_into::nothing>(from, col / superblock + b);
      for (int half = 0; half < 2; ++half) {
        out.blocks[b].d[half] = block.d[half];
        for (int quarter = 0; quarter < 4; ++quarter) {
          for (int g = 4 * quarter; g < 4 * quarter + 4; ++g) {
            out.blocks[b].scale[g][half] = block.scales(half, g);
          }
#pragma GCC unroll 16
          for (int i = 0; i < 16; ++i) {
            out.blocks[b].w[16 * quarter + i][half] = block.weights(half, quarter, i);
          }
        }
      }
    }
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    token_view tokens{x, token, col};
    for (std::uint32_t b = 0; b < cols / superblock; ++b, tokens.next()) {
      superblock_tile<Tokens>(packed_at<Asks>(p, col / superblock + b), tokens, sums);
    }
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]);
};

inline __m256i signed_join(__m256i low_bits, __m256i high_bits) {
  return _mm256_sub_epi8(join(low_bits, high_bits), _mm256_set1_epi8(32));
}

/// -32..31 of a superblock in element order, 32 at a time.
inline void unpack_row(const unsigned char* data, __m256i (&w)[8]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m256i first = load_32(data + 64 * half);
    const __m256i second = load_32(data + 64 * half + 32);
    const __m256i high = load_32(data + layout::q6_k_block::high + 32 * half);
    w[4 * half] = signed_join(first, _mm256_slli_epi16(high, 4));
    w[4 * half + 1] = signed_join(second, _mm256_slli_epi16(high, 2));
    w[4 * half + 2] = signed_join(_mm256_srli_epi16(first, 4), high);
    w[4 * half + 3] = signed_join(_mm256_srli_epi16(second, 4), _mm256_srli_epi16(high, 2));
  }
}

template <int Tokens>
void q6_k::row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
               std::int64_t (&sums)[Tokens]) {
  // The even groups' scales to the low half, the odd groups' to the high half: elements 0..15 of a
  // block are in the low half of a register, 16..31 in the high half.
  const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
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
    const __m256i d = _mm256_set1_epi32(fixed24(load_u16(data + layout::q6_k_block::d)));
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = token + static_cast<std::size_t>(t);
      const std::int8_t* q = x.q + at * x.cols + b * superblock;
      const __m256i m = load_32(x.m + at * (x.cols / 32) + b * 8);
      const __m128i m16 =
          _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
      const __m256i factors = _mm256_mullo_epi16(scale, _mm256_broadcastsi128_si256(m16));
      __m256i pick = _mm256_set1_epi16(0x0100); // bytes 2j and 2j + 1 of each half
      __m256i scaled = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        // Pairs are at most 32 * 127 * 2, sc m at most 8064, and each lane takes eight of them.
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w[j]),
                                                   _mm256_sign_epi8(load_32(q + 32 * j), w[j]));
        scaled =
            _mm256_add_epi32(scaled, _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(factors, pick)));
        pick = _mm256_add_epi8(pick, _mm256_set1_epi8(2));
      }
      const __m256i dk = _mm256_mullo_epi32(d, broadcast(x.k + at * x.scales + b));
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(scaled, dk));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(scaled), dk));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

} // namespace

void product_q6_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q6_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
