// The product of packed IQ4_XS on AVX2: superblocks of 256 elements, each one of sixteen levels,
// eight signed 6-bit scales, D. S = sum over superblocks of k D sum_j sc_j m_j dot_j.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/integers.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr std::uint32_t superblocks_max = x86::panel_cols / superblock;
constexpr int groups = 8;

/// What a superblock's rows have beside their levels.
struct superblock_head {
  __m256i scale[groups]; ///< sc_j of each row, in both 16-bit halves
  __m256i d;
};

/// Weights as bytes, [element / 4][half][row][4].
struct unpacked_superblock {
  __m256i w[superblock / 4][2];
  superblock_head head[2];

  [[nodiscard]] inline __m256i weights(int half, int j, int i) const { return w[j * 8 + i][half]; }
};

/// A superblock of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_superblock {
  static constexpr std::size_t bytes = layout::iq4_xs_panel::bytes;
  static constexpr std::size_t nibbles_at = layout::iq4_xs_panel::nibbles;

  const unsigned char* data;

  /// Elements 4 i of group j.
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int j,
                                                                      int i) const {
    const unsigned char* line = data + nibbles_at + static_cast<std::size_t>(j * 4 + i % 4) * 64;
    if (half == 0 && i < 4) {
      x86::ask_beyond<Asks>(line);
    }
    const __m256i levels = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    const __m256i both = load_32(line + 32 * half);
    return _mm256_shuffle_epi8(
        levels, _mm256_and_si256(i < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15)));
  }
  __attribute__((always_inline)) inline void load(superblock_head (&out)[2]) const {
    x86::ask_beyond_lines<Asks, nibbles_at / 64>(data);
    load_half(0, out[0]);
    load_half(1, out[1]);
  }

private:
  __attribute__((always_inline)) inline void load_half(std::size_t half,
                                                       superblock_head& out) const {
    out.d = load_scales(data + 16 * half);
    __m256i low = load_32(data + layout::iq4_xs_panel::low_scales + 32 * half);
    __m256i high = _mm256_slli_epi32(
        _mm256_cvtepu16_epi32(load_16(data + layout::iq4_xs_panel::high_scales + 16 * half)), 4);
#pragma GCC unroll 8
    for (int j = 0; j < groups; ++j) {
      const __m256i six = _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)),
                                          _mm256_and_si256(high, _mm256_set1_epi32(0x30)));
      const __m256i twice = _mm256_or_si256(six, _mm256_slli_epi32(six, 16));
      out.scale[j] = _mm256_sub_epi16(twice, _mm256_set1_epi16(32));
      low = _mm256_srli_epi32(low, 4);
      high = _mm256_srli_epi32(high, 2);
    }
  }
};

/// What a token contributes to a superblock beside q.
struct token_terms {
  std::int32_t m[groups]; ///< m_j twice, 16 bits each

  inline void set(const std::int8_t* /*q*/, const std::int32_t* m_of, const std::int32_t* /*sum*/) {
    for (int j = 0; j < groups; ++j) {
      m[j] = m_of[j] | m_of[j] << 16;
    }
  }
};

using token_view = superblock_tokens<token_terms>;

/// Group j of sixteen rows for `Tokens` tokens: scaled += sc_j m_j dot_j.
template <int Tokens, class Source>
inline void add_group(const Source& source, const superblock_head (&head)[2], int j,
                      const token_view& x, __m256i (&scaled)[2][Tokens]) {
  __m256i factor[2][Tokens];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      factor[half][t] = _mm256_mullo_epi16(head[half].scale[j], broadcast(x.terms_of(t).m + j));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i w = source.weights(half, j, i);
      const __m256i magnitude = _mm256_abs_epi8(w);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i four = broadcast(x.q_of(t) + j * 32 + i * 4);
        // 127 * 127 * 2 fits 16 bits.
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(four, w));
        scaled[half][t] =
            _mm256_add_epi32(scaled[half][t], _mm256_madd_epi16(pairs, factor[half][t]));
      }
    }
    keep_sums(scaled);
  }
}

/// One superblock of sixteen rows for `Tokens` tokens.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const superblock_head (&head)[2],
                            const token_view& x, panel_sums* sums) {
  // Two groups at a time: 516,128 * 32 * 63 * 2 = 2,081,028,096 fits 32 bits.
  for (int pair = 0; pair < groups; pair += 2) {
    __m256i scaled[2][Tokens];
    clear(scaled);
    add_group<Tokens>(source, head, pair, x, scaled);
    add_group<Tokens>(source, head, pair + 1, x, scaled);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i d = _mm256_mullo_epi32(head[half].d, x.k_of(t)); // |D| < 2^19, k < 2^12
        row_sums& sum = sums[t].half[half];
        sum.even = _mm256_add_epi64(sum.even, _mm256_mul_epi32(scaled[half][t], d));
        sum.odd = _mm256_add_epi64(sum.odd, _mm256_mul_epi32(odd(scaled[half][t]), odd(d)));
      }
    }
  }
}

struct iq4_xs : panel_format {
  struct panel {
    unpacked_superblock blocks[superblocks_max];
  };

  template <x86::ask_into Asks>
  static packed_superblock<Asks> packed_at(const x86::packed_panel& from, std::uint32_t index) {
    return {from.data + std::size_t{index} * packed_superblock<Asks>::bytes};
  }

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    token_view::prepare(x, token, count);
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      const packed_superblock<x86::ask_into::nothing> block =
          packed_at<x86::ask_into::nothing>(from, col / superblock + b);
      block.load(out.blocks[b].head);
      for (int j = 0; j < groups; ++j) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          out.blocks[b].w[j * 8 + i][0] = block.weights(0, j, i);
          out.blocks[b].w[j * 8 + i][1] = block.weights(1, j, i);
        }
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    token_view tokens{x, token, col};
    for (std::uint32_t b = 0; b < cols / superblock; ++b, tokens.next()) {
      superblock_tile<Tokens>(p.blocks[b], p.blocks[b].head, tokens, sums);
    }
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    token_view tokens{x, token, col};
    for (std::uint32_t b = 0; b < cols / superblock; ++b, tokens.next()) {
      const packed_superblock<Asks> block = packed_at<Asks>(p, col / superblock + b);
      superblock_head head[2];
      block.load(head);
      superblock_tile<Tokens>(block, head, tokens, sums);
    }
  }
};

} // namespace

void product_iq4_xs(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                    const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<iq4_xs>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
