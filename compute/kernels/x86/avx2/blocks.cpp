// Q8_0 and Q4_0 on AVX2: weights scaled per 32 elements, activations of form A32.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/integers.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t block = 32;

/// The dwords of a block's weights and their D as packed, both halves of sixteen rows. Groups of
/// eight blocks, their scales first.
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
  [[nodiscard]] __attribute__((always_inline)) inline __m256i
  weights(std::uint32_t half, std::uint32_t b, std::uint32_t j) const {
    const unsigned char* first = group(b) + group_scales + std::size_t{b} % 8 * lines * 64;
    if (half == 0 && j < lines) {
      x86::ask_beyond<Asks>(first + std::size_t{j} * 64);
    }
    return Format::packed_weights(first + std::size_t{half} * 32, j);
  }
  [[nodiscard]] __attribute__((always_inline)) inline __m256i scales(std::uint32_t half,
                                                                     std::uint32_t b) const {
    const unsigned char* halves = group(b) + b % 8 * 32;
    if (half == 0 && b % 2 == 0) {
      x86::ask_beyond<Asks>(halves);
    }
    return load_scales(halves + std::size_t{half} * 16);
  }
};

/// Adds dot k D of a block to the sums.
template <int Tokens, class Source>
inline void add_scaled(const Source& source, std::uint32_t b, const __m256i (&dot)[2][Tokens],
                       const std::int32_t* k, std::size_t stride, panel_sums* sums) {
#pragma GCC unroll 2
  for (std::uint32_t half = 0; half < 2; ++half) {
    const __m256i scale = source.scales(half, b);
    const __m256i scale_odd = odd(scale);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      // |dot * k| <= 2,130,186,240 fits 32 bits.
      const __m256i scaled =
          _mm256_mullo_epi32(dot[half][t], broadcast(k + static_cast<std::size_t>(t) * stride + b));
      row_sums& sum = sums[t].half[half];
      sum.even = _mm256_add_epi64(sum.even, _mm256_mul_epi32(scaled, scale));
      sum.odd = _mm256_add_epi64(sum.odd, _mm256_mul_epi32(odd(scaled), scale_odd));
    }
  }
}

/// Runs `Dot` over blocks of sixteen rows and `Tokens` tokens.
template <class Dot, int Tokens, class Source>
inline void block_tile(const Source& source, const x86::batch_view& x, std::uint32_t token,
                       std::uint32_t col, std::uint32_t cols, panel_sums* sums) {
  const std::size_t stride = x.cols / block;
  const std::int32_t* k = x.k + token * stride + col / block;
  const Dot dots{x, token, col};
  for (std::uint32_t b = 0; b < cols / block; ++b) {
    __m256i dot[2][Tokens];
    dots.template run<Tokens>(source, b, dot);
    add_scaled<Tokens>(source, b, dot, k, stride, sums);
  }
}

/// Signed weights in bytes: |w| times q with the sign of w, because vpmaddubsw wants one unsigned
/// operand and a biased byte would saturate its 16-bit sums.
struct signed_dot {
  const std::int8_t* q;
  std::size_t stride;

  signed_dot(const x86::batch_view& x, std::uint32_t token, std::uint32_t col)
      : q(x.q + std::size_t{token} * x.cols + col), stride(x.cols) {}

  template <int Tokens, class Source>
  inline void run(const Source& source, std::uint32_t b, __m256i (&dot)[2][Tokens]) const {
    const __m256i ones = _mm256_set1_epi16(1);
    clear(dot);
#pragma GCC unroll 8
    for (std::uint32_t j = 0; j < 8; ++j) {
      const std::int8_t* const four_at = q + std::size_t{b} * block + j * 4;
#pragma GCC unroll 2
      for (std::uint32_t half = 0; half < 2; ++half) {
        const __m256i w = source.weights(half, b, j);
        const __m256i magnitude = _mm256_abs_epi8(w); // at most 128: 128 * 127 * 2 fits 16 bits
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
          const __m256i four = broadcast(four_at + static_cast<std::size_t>(t) * stride);
          const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(four, w));
          dot[half][t] = _mm256_add_epi32(dot[half][t], _mm256_madd_epi16(pairs, ones));
        }
      }
      keep_sums(dot);
    }
  }
};

/// Signed weights widened to 16 bits: two multiplications for each dword of q, where bytes take two
/// and a sign, for which the same pipes are needed. Of the dwords of a block of q the even elements
/// come first, then the odd ones.
struct wide_dot {
  static constexpr std::size_t block_bytes = 64;

  const unsigned char* q;
  std::size_t stride;

  wide_dot(const x86::batch_view& x, std::uint32_t token, std::uint32_t col)
      : q(x.prepared + (std::size_t{token} % x86::panel_tokens * x.cols + col) * 2),
        stride(std::size_t{x.cols} * 2) {}

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    static_assert(256 / block * block_bytes <= x86::prepared_bytes);
    const std::size_t blocks = std::size_t{count} * (x.cols / block);
    const std::int8_t* from = x.q + std::size_t{token} * x.cols;
    auto* to = reinterpret_cast<__m256i*>(x.prepared);
    for (std::size_t b = 0; b < blocks; ++b) {
      const __m256i bytes = load_32(from + b * block);
      _mm256_store_si256(to + 2 * b, even_bytes(bytes));
      _mm256_store_si256(to + 2 * b + 1, odd_bytes(bytes));
    }
  }
  static __m256i even_bytes(__m256i x) { return odd_bytes(_mm256_slli_epi16(x, 8)); }
  static __m256i odd_bytes(__m256i x) { return _mm256_srai_epi16(x, 8); }

  template <int Tokens, class Source>
  inline void run(const Source& source, std::uint32_t b, __m256i (&dot)[2][Tokens]) const {
    clear(dot);
#pragma GCC unroll 16
    for (std::uint32_t j = 0; j < 16; ++j) {
      const unsigned char* const two_at = q + b * block_bytes + j * 4;
      const __m256i w[2] = {source.pairs(0, b, j), source.pairs(1, b, j)};
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i two = broadcast(two_at + static_cast<std::size_t>(t) * stride);
#pragma GCC unroll 2
        for (std::uint32_t half = 0; half < 2; ++half) {
          dot[half][t] = _mm256_add_epi32(dot[half][t], _mm256_madd_epi16(w[half], two));
        }
      }
      keep_sums(dot);
    }
  }
};

/// Nibbles 0..15 standing for -8..7: sums in 16 bits start from -8 times the sum of what they meet,
/// and end within 8 * 8 * 127 * 2.
struct nibble_dot {
  static constexpr int bias = 8;

  const std::int8_t* q;
  std::size_t stride;
  const unsigned char* start;
  std::size_t start_stride;

  nibble_dot(const x86::batch_view& x, std::uint32_t token, std::uint32_t col)
      : q(x.q + std::size_t{token} * x.cols + col), stride(x.cols),
        start(x.prepared +
              (std::size_t{token} % x86::panel_tokens * (x.cols / block) + col / block) * 4),
        start_stride(std::size_t{x.cols} / block * 4) {}

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    const std::size_t blocks = std::size_t{count} * (x.cols / block);
    const std::int8_t* from = x.q + std::size_t{token} * x.cols;
    for (std::size_t b = 0; b < blocks; ++b) {
      const __m128i halves = starts_of_groups<-bias>(from + b * block);
      const std::int32_t both =
          _mm_cvtsi128_si32(_mm_add_epi16(halves, _mm_srli_epi64(halves, 32)));
      __builtin_memcpy(x.prepared + b * 4, &both, sizeof both);
    }
  }

  template <int Tokens, class Source>
  inline void run(const Source& source, std::uint32_t b, __m256i (&dot)[2][Tokens]) const {
    __m256i pairs[2][Tokens];
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      pairs[0][t] = pairs[1][t] =
          broadcast(start + static_cast<std::size_t>(t) * start_stride + std::size_t{b} * 4);
    }
#pragma GCC unroll 8
    for (std::uint32_t j = 0; j < 8; ++j) {
      const std::int8_t* const four_at = q + std::size_t{b} * block + j * 4;
      const __m256i w[2] = {source.weights(0, b, j), source.weights(1, b, j)};
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i four = broadcast(four_at + static_cast<std::size_t>(t) * stride);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          pairs[half][t] = _mm256_add_epi16(pairs[half][t], _mm256_maddubs_epi16(w[half], four));
        }
      }
      keep_sums(pairs);
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        dot[half][t] = _mm256_madd_epi16(pairs[half][t], ones);
      }
    }
  }
};

/// What both formats share; `Format` adds its block size, its `panel`, `dot` and `centred`. `Few`
/// and `Many` multiply weights as packed, and from panels.
template <class Format, class Few, class Many>
struct block_format : panel_format {
  static constexpr bool asks_soon_alone = true; // Q8_0 1.10 to 1.19, Q4_0 1.04 to 1.10 on Zen 3

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, auto& out) {
    data += col / block * Format::bytes;
    for (std::uint32_t b = 0; b < cols / block; ++b, data += Format::bytes) {
      for (std::uint32_t half = 0; half < 2; ++half) {
        const unsigned char* first = data + std::size_t{half} * half_rows * row_bytes;
        const std::uint32_t count = rows_of_half(rows, half);
        out.scale[b][half] = row_scales(first, row_bytes, count);
        __m256i w[8];
        Format::load_block(first + 2, row_bytes, count, w);
        for (std::uint32_t j = 0; j < 8; ++j) {
          out.set(half, b, j, w[j]);
        }
      }
    }
  }

  template <int Tokens>
  static void tile(const auto& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    block_tile<Many, Tokens>(p, x, token, col, cols, sums);
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]) {
    block_row<Format, Tokens>(data, x, token, sums);
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            auto& out) {
    const packed_blocks<Format, x86::ask_into::nothing> source{from, col};
    for (std::uint32_t b = 0; b < cols / block; ++b) {
#pragma GCC unroll 2
      for (std::uint32_t half = 0; half < 2; ++half) {
        out.scale[b][half] = source.scales(half, b);
#pragma GCC unroll 8
        for (std::uint32_t j = 0; j < 8; ++j) {
          out.set(half, b, j, source.weights(half, b, j));
        }
      }
    }
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    block_tile<Few, Tokens>(packed_blocks<Format, Asks>{p, col}, x, token, col, cols, sums);
  }
};

struct q8_0 : block_format<q8_0, signed_dot, wide_dot> {
  static constexpr std::size_t bytes = layout::q8_0_block::bytes;

  /// Weights in 16 bits, [element / 4][even elements, odd][row][2], and D per block and row.
  struct panel {
    __m256i w[x86::panel_cols / 2][2];
    __m256i scale[x86::panel_cols / block][2];

    inline void set(std::uint32_t half, std::uint32_t b, std::uint32_t j, __m256i column) {
      w[b * 16 + j][half] = wide_dot::even_bytes(column);
      w[b * 16 + 8 + j][half] = wide_dot::odd_bytes(column);
    }
    [[nodiscard]] inline __m256i pairs(std::uint32_t half, std::uint32_t b, std::uint32_t j) const {
      return w[b * 16 + j][half];
    }
    [[nodiscard]] inline __m256i scales(std::uint32_t half, std::uint32_t b) const {
      return scale[b][half];
    }
  };

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    wide_dot::prepare(x, token, count);
  }

  static __m256i packed_weights(const unsigned char* p, std::uint32_t j) {
    return _mm256_xor_si256(load_line(p, j), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static __m256i dot(const unsigned char* p, __m256i q) {
    const __m256i w = load_32(p);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  static __m256i centred(__m256i products, __m256i /*sums*/) { return products; }
  static void load_block(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                         __m256i (&w)[8]) {
    load_panel(data, row_bytes, rows, w);
  }
};

struct q4_0 : block_format<q4_0, nibble_dot, nibble_dot> {
  static constexpr std::size_t bytes = layout::q4_0_block::bytes;

  /// Bytes of weights, [element / 4][row][4], and D per block and row.
  struct panel {
    __m256i w[x86::panel_cols / 4][2];
    __m256i scale[x86::panel_cols / block][2];

    inline void set(std::uint32_t half, std::uint32_t b, std::uint32_t j, __m256i column) {
      w[b * 8 + j][half] = column;
    }
    [[nodiscard]] inline __m256i weights(std::uint32_t half, std::uint32_t b,
                                         std::uint32_t j) const {
      return w[b * 8 + j][half];
    }
    [[nodiscard]] inline __m256i scales(std::uint32_t half, std::uint32_t b) const {
      return scale[b][half];
    }
  };

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    nibble_dot::prepare(x, token, count);
  }

  /// Low nibbles are elements 0..15, high nibbles 16..31.
  static __m256i packed_weights(const unsigned char* p, std::uint32_t j) {
    const __m256i line = load_line(p, j % 4);
    return _mm256_and_si256(j < 4 ? line : _mm256_srli_epi16(line, 4), _mm256_set1_epi8(15));
  }

  /// 0..15 in element order: low nibbles are elements 0..15, high nibbles 16..31.
  static __m256i nibbles(const unsigned char* p) {
    const __m128i packed = load_16(p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed),
                            _mm256_set1_epi8(15));
  }
  static __m256i dot(const unsigned char* p, __m256i q) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(nibbles(p), q), _mm256_set1_epi16(1));
  }
  static __m256i centred(__m256i products, __m256i sums) {
    return _mm256_sub_epi32(products, _mm256_slli_epi32(sums, 3));
  }
  static void load_block(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                         __m256i (&w)[8]) {
    for (std::uint32_t r = 0; r < half_rows; ++r) {
      w[r] = r < rows ? nibbles(data + r * row_bytes) : _mm256_setzero_si256();
    }
    transpose(w);
  }
};

} // namespace

void product_q8_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q8_0>(w, first, last, x, y, y_stride);
}

void product_q4_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_of<q4_0>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
