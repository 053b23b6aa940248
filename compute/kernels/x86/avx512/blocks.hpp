#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/avx512/integers.hpp"

/// Q8_0 and Q4_0 on AVX-512 VNNI: weights scaled per 32 elements, activations of form A32. `Sums`
/// is exact_sums, but in bench/exactness.
namespace ovir::compute::avx512 {
namespace {

constexpr std::uint32_t block = 32;
constexpr std::uint32_t blocks_max = x86::panel_cols / block;

/// Weights as unsigned bytes w + 2^BiasLog2, [element / 4][row][4], and D per block and row.
struct block_panel {
  __m512i w[x86::panel_cols / 4];
  __m512i scale[blocks_max];

  [[nodiscard]] inline __m512i weights(std::uint32_t b, std::uint32_t j) const {
    return w[b * 8 + j];
  }
  [[nodiscard]] inline __m512i scales(std::uint32_t b) const { return scale[b]; }
};

/// The same straight from packed weights: groups of eight blocks, their scales first.
template <class Format, x86::ask_into Asks>
struct packed_blocks {
  static constexpr std::size_t lines = (Format::bytes - 2) / 4;
  static constexpr std::size_t group_scales = 256;

  const unsigned char* data;

  packed_blocks(const x86::packed_panel& panel, std::uint32_t col)
      : data(panel.data + std::size_t{col} / 256 * group_scales +
             std::size_t{col} / block * lines * 64) {}

  [[nodiscard]] inline const unsigned char* group(std::uint32_t b) const {
    return data + std::size_t{b} / 8 * (group_scales + 8 * lines * 64);
  }
  [[nodiscard]] inline const unsigned char* block_at(std::uint32_t b) const {
    return group(b) + group_scales + std::size_t{b} % 8 * lines * 64;
  }
  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(std::uint32_t b,
                                                                      std::uint32_t j) const {
    const unsigned char* line = block_at(b) + j % lines * 64;
    if (j < lines) {
      x86::ask_beyond<Asks>(line);
    }
    return Format::packed_weights(line, j);
  }
  [[nodiscard]] __attribute__((always_inline)) inline __m512i scales(std::uint32_t b) const {
    const unsigned char* halves = group(b) + b % 8 * 32;
    if (b % 2 == 0) {
      x86::ask_beyond<Asks>(halves);
    }
    return load_scales(halves);
  }
};

/// What each block's dot product starts at to undo the weights' bias: -2^BiasLog2 times the sum of
/// q, [token][block].
template <int BiasLog2>
inline void prepare_starts(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
  const std::uint32_t blocks = x.cols / block;
  const std::int32_t* sum = x.sum + std::size_t{token} * blocks;
  unsigned char* out = x.prepared;
  for (std::uint32_t t = 0; t < count; ++t, sum += blocks, out += std::size_t{blocks} * 4) {
    for (std::uint32_t b = 0; b < blocks; b += 16) {
      const __mmask16 some = first_lanes(blocks - b);
      const __m512i shifted = _mm512_slli_epi32(_mm512_maskz_loadu_epi32(some, sum + b), BiasLog2);
      _mm512_mask_storeu_epi32(out + std::size_t{b} * 4, some,
                               _mm512_sub_epi32(_mm512_setzero_si512(), shifted));
    }
  }
}

/// Sums of 16 rows for `Tokens` tokens. While the products of one group of tokens are formed, those
/// of the group before are scaled: instructions that do not multiply cost nothing where there are
/// few of them beside many that do, and a quarter of a cycle each where they come all at once. The
/// last group of a block may be smaller.
template <int Tokens, class Source, class Sums>
inline void block_tile(const Source& source, const x86::batch_view& x, std::uint32_t token,
                       std::uint32_t col, std::uint32_t cols, Sums* sums) {
  constexpr int group = Tokens > 4 ? 4 : Tokens;
  constexpr int last_group = (Tokens - 1) / group * group; // its first token
  const std::size_t stride = x.cols;
  const std::size_t block_stride = x.cols / block;
  const std::int8_t* q = x.q + token * stride + col;
  const std::int32_t* k = x.k + token * block_stride + col / block;
  const unsigned char* start =
      x.prepared + (token % x86::panel_tokens * block_stride + col / block) * 4;
  Sums total[Tokens];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    total[t] = sums[t];
  }
  __m512i before[group] = {};
  __m512i scale_before = _mm512_setzero_si512();
  const std::int32_t* k_before = k;
  // Scales token `t` and its block before.
  const auto add_before = [&](int t) __attribute__((always_inline)) {
    const std::size_t at = static_cast<std::size_t>(t);
    total[at].add_block(before[t % group], k_before + at * block_stride, scale_before);
  };
  for (std::uint32_t b = 0; b < cols / block; ++b) {
    const __m512i scale = source.scales(b);
#pragma GCC unroll 2
    for (int first = 0; first < Tokens; first += group) {
      const int behind = first == 0 ? last_group : first - group;
      __m512i dot[group];
#pragma GCC unroll 8
      for (int t = 0; t < group; ++t) {
        if (first + t < Tokens) {
          const std::size_t at = static_cast<std::size_t>(first + t);
          dot[t] = broadcast(start + (at * block_stride + b) * 4);
        }
      }
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        const __m512i w = source.weights(b, static_cast<std::uint32_t>(j));
#pragma GCC unroll 8
        for (int t = 0; t < group; ++t) {
          if (first + t < Tokens) {
            const std::size_t at = static_cast<std::size_t>(first + t);
            dot[t] = add_products(dot[t], w, q + at * stride + b * block + j * 4);
          }
        }
        if (j % 2 == 1 && j / 2 < group && behind + j / 2 < Tokens) {
          add_before(behind + j / 2);
        }
      }
#pragma GCC unroll 8
      for (int t = 0; t < group; ++t) {
        if (first + t < Tokens) {
          before[t] = dot[t];
        }
      }
      scale_before = scale;
      k_before = k + b;
    }
  }
#pragma GCC unroll 8
  for (int t = last_group; t < Tokens; ++t) {
    add_before(t);
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = total[t];
  }
}

/// D of every block of a panel's columns.
template <std::size_t BlockBytes>
inline void unpack_scales(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                          std::uint32_t blocks, block_panel& panel) {
  for (std::uint32_t b = 0; b < blocks; ++b) {
    panel.scale[b] = row_scales(data + b * BlockBytes, row_bytes, rows);
  }
}

template <class Sums>
struct q8_0 : panel_format<Sums> {
  using panel = block_panel;
  using sum = Sums;
  static constexpr std::size_t bytes = layout::q8_0_block::bytes;
  static constexpr int bias_log2 = 7;

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_starts<bias_log2>(x, token, count);
  }
  /// |w| times q with the sign of w; 128 for -128 is read as unsigned.
  static __m256i dot(const unsigned char* p, __m256i q) {
    const __m256i w = load_32(p);
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
  }
  static __m256i centred(__m256i products, __m256i /*sums*/) { return products; }

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    data += col / block * bytes;
    const std::uint32_t blocks = cols / block;
    unpack_scales<bytes>(data, row_bytes, rows, blocks, out);
    const __m512i bias = _mm512_set1_epi8(static_cast<char>(0x80));
    for (std::uint32_t b = 0; b < blocks; b += 2) {
      const bool both = b + 1 < blocks;
      __m512i v[16];
      for (std::uint32_t r = 0; r < panel_rows; ++r) {
        v[r] = _mm512_setzero_si512();
        if (r < rows) {
          const unsigned char* p = data + r * row_bytes + b * bytes + 2;
          v[r] = _mm512_castsi256_si512(load_32(p));
          v[r] = both ? _mm512_inserti64x4(v[r], load_32(p + bytes), 1) : v[r];
        }
      }
      transpose(v);
      for (std::uint32_t j = 0; j < (both ? 16U : 8U); ++j) {
        out.w[b * 8 + j] = _mm512_xor_si512(v[j], bias);
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    block_tile<Tokens>(p, x, token, col, cols, sums);
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]) {
    block_row<q8_0, Tokens>(data, x, token, sums);
  }

  static __m512i packed_weights(const unsigned char* p, std::uint32_t /*j*/) {
    return _mm512_loadu_si512(p);
  }
  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    block_tile<Tokens>(packed_blocks<q8_0, Asks>{p, col}, x, token, col, cols, sums);
  }
};

template <class Sums>
struct q4_0 : panel_format<Sums> {
  using panel = block_panel;
  using sum = Sums;
  static constexpr std::size_t bytes = layout::q4_0_block::bytes;
  static constexpr int bias_log2 = 3;

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_starts<bias_log2>(x, token, count);
  }
  /// 0..15 standing for -8..7: low nibbles are elements 0..15, high nibbles 16..31.
  static __m256i dot(const unsigned char* p, __m256i q) {
    const __m128i packed = load_16(p);
    const __m256i nibbles =
        _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed), _mm256_set1_epi8(15));
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), nibbles, q);
  }
  static __m256i centred(__m256i products, __m256i sums) {
    return _mm256_sub_epi32(products, _mm256_slli_epi32(sums, bias_log2));
  }

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    data += col / block * bytes;
    const std::uint32_t blocks = cols / block;
    unpack_scales<bytes>(data, row_bytes, rows, blocks, out);
    const __m512i low = _mm512_set1_epi8(15);
    for (std::uint32_t b = 0; b < blocks; b += 4) {
      const std::uint32_t count = blocks - b < 4 ? blocks - b : 4;
      __m512i v[16];
      for (std::uint32_t r = 0; r < panel_rows; ++r) {
        alignas(64) __m128i four[4] = {};
        for (std::uint32_t i = 0; r < rows && i < count; ++i) {
          four[i] = load_16(data + r * row_bytes + (b + i) * bytes + 2);
        }
        v[r] = _mm512_load_si512(four);
      }
      transpose(v);
      for (std::uint32_t i = 0; i < 4 * count; ++i) {
        const std::uint32_t at = (b + i / 4) * 8 + i % 4;
        out.w[at] = _mm512_and_si512(v[i], low);
        out.w[at + 4] = _mm512_and_si512(_mm512_srli_epi16(v[i], 4), low);
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    block_tile<Tokens>(p, x, token, col, cols, sums);
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]) {
    block_row<q4_0, Tokens>(data, x, token, sums);
  }

  static __m512i packed_weights(const unsigned char* p, std::uint32_t j) {
    // Low nibbles are elements 0..15, high nibbles 16..31.
    const __m512i line = _mm512_loadu_si512(p);
    return _mm512_and_si512(j < 4 ? line : _mm512_srli_epi16(line, 4), _mm512_set1_epi8(15));
  }
  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    block_tile<Tokens>(packed_blocks<q4_0, Asks>{p, col}, x, token, col, cols, sums);
  }
};

} // namespace
} // namespace ovir::compute::avx512

#endif
