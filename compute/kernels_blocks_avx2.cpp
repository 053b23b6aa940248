// Q8_0 and Q4_0 on AVX2: weights scaled per 32 elements, activations of form A32.
#if defined(__x86_64__)

#include "compute/integers_avx2.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::uint32_t block = 32;
constexpr std::size_t q8_0_bytes = 34;
constexpr std::size_t q4_0_bytes = 18;

/// Bytes of weights, [element / 4][row][4], and D per block and row.
struct block_panel {
  __m256i w[x86::panel_cols / 4];
  __m256i scale[x86::panel_cols / block];

  [[nodiscard]] inline __m256i weights(std::uint32_t b, std::uint32_t j) const {
    return w[b * 8 + j];
  }
  [[nodiscard]] inline __m256i scales(std::uint32_t b) const { return scale[b]; }
};

/// The same straight from packed weights: groups of eight blocks, their scales first.
template <class Format, x86::ask_into Asks>
struct packed_blocks {
  static constexpr std::size_t lines = (Format::bytes - 2) / 4;
  static constexpr std::size_t group_scales = 256;

  const unsigned char* data;
  std::size_t first_row;

  packed_blocks(const x86::packed_panel& panel, std::uint32_t col)
      : data(panel.data + std::size_t{col} / 256 * group_scales +
             std::size_t{col} / block * lines * 64),
        first_row(panel.first_row) {}

  [[nodiscard]] inline const unsigned char* group(std::uint32_t b) const {
    return data + std::size_t{b} / 8 * (group_scales + 8 * lines * 64);
  }
  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(std::uint32_t b,
                                                                      std::uint32_t j) const {
    const unsigned char* first = group(b) + group_scales + std::size_t{b} % 8 * lines * 64;
    if (j < lines) {
      x86::ask_beyond<Asks>(first + std::size_t{j} * 64);
    }
    return Format::packed_weights(first + 4 * first_row, j);
  }
  [[nodiscard]] __attribute__((always_inline)) inline __m256i scales(std::uint32_t b) const {
    const unsigned char* halves = group(b) + b % 8 * 32;
    if (b % 2 == 0) {
      x86::ask_beyond<Asks>(halves);
    }
    return load_scales(halves + 2 * first_row);
  }
};

/// Signed weights: |w| times q with the sign of w, because vpmaddubsw wants one unsigned operand
/// and a biased byte would saturate its 16-bit sums.
struct signed_dot {
  template <int Tokens, class Source>
  static inline void run(const Source& source, std::uint32_t b, const std::int8_t* q,
                         std::size_t stride, const std::int32_t* /*sum*/,
                         std::size_t /*sum_stride*/, __m256i (&dot)[Tokens]) {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      dot[t] = _mm256_setzero_si256();
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      const __m256i w = source.weights(b, static_cast<std::uint32_t>(j));
      const __m256i magnitude = _mm256_abs_epi8(w); // at most 128: 128 * 127 * 2 fits 16 bits
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i four = broadcast(q + static_cast<std::size_t>(t) * stride + j * 4);
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(four, w));
        dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
};

/// Nibbles 0..15 standing for -8..7: eight pair sums of at most 15 * 127 * 2 stay within 16 bits.
struct nibble_dot {
  template <int Tokens, class Source>
  static inline void run(const Source& source, std::uint32_t b, const std::int8_t* q,
                         std::size_t stride, const std::int32_t* sum, std::size_t sum_stride,
                         __m256i (&dot)[Tokens]) {
    __m256i pairs[Tokens];
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      pairs[t] = _mm256_setzero_si256();
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      const __m256i nibbles = source.weights(b, static_cast<std::uint32_t>(j));
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const __m256i four = broadcast(q + static_cast<std::size_t>(t) * stride + j * 4);
        pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(nibbles, four));
      }
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const __m256i bias =
          _mm256_slli_epi32(broadcast(sum + static_cast<std::size_t>(t) * sum_stride), 3);
      dot[t] = _mm256_sub_epi32(_mm256_madd_epi16(pairs[t], ones), bias);
    }
  }
};

/// Sums of 8 rows for `Tokens` tokens.
template <class Dot, int Tokens, class Source>
inline void block_tile(const Source& source, const x86::batch_view& x, std::uint32_t token,
                       std::uint32_t col, std::uint32_t cols, row_sums* sums) {
  const std::size_t stride = x.cols / block;
  const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
  const std::int32_t* k = x.k + token * stride + col / block;
  const std::int32_t* sum = x.sum + token * stride + col / block;
  for (std::uint32_t b = 0; b < cols / block; ++b) {
    __m256i dot[Tokens];
    Dot::template run<Tokens>(source, b, q + b * block, x.cols, sum + b, stride, dot);
    const __m256i scale = source.scales(b);
    const __m256i scale_odd = odd(scale);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      // |dot * k| <= 2,130,186,240 fits 32 bits.
      const __m256i scaled =
          _mm256_mullo_epi32(dot[t], broadcast(k + static_cast<std::size_t>(t) * stride + b));
      sums[t].even = _mm256_add_epi64(sums[t].even, _mm256_mul_epi32(scaled, scale));
      sums[t].odd = _mm256_add_epi64(sums[t].odd, _mm256_mul_epi32(odd(scaled), scale_odd));
    }
  }
}

/// The sums of the lanes of eight vectors, in order.
inline __m256i sum_of_each(const __m256i (&v)[8]) {
  const __m256i first =
      _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i second =
      _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                          _mm256_permute2x128_si256(first, second, 0x31));
}

/// Products of up to eight consecutive blocks with q, a lane each.
template <class Format>
inline __m256i products_of_blocks(const unsigned char* data, std::uint32_t count,
                                  const std::int8_t* q) {
  __m256i dot[8];
  if (count == 8) {
#pragma GCC unroll 8
    for (std::uint32_t i = 0; i < 8; ++i) {
      dot[i] = Format::dot(data + i * Format::bytes + 2, load_32(q + i * block));
    }
  } else {
    for (std::uint32_t i = 0; i < 8; ++i) {
      dot[i] = i < count ? Format::dot(data + i * Format::bytes + 2, load_32(q + i * block))
                         : _mm256_setzero_si256();
    }
  }
  return sum_of_each(dot);
}

/// D of up to eight consecutive blocks of a row; zero beyond.
template <std::size_t BlockBytes>
inline __m256i block_scales(const unsigned char* data, std::uint32_t count) {
  __m128i halves = _mm_setzero_si128();
  if (count == 8) {
    const auto half = [data](std::size_t i) {
      return static_cast<short>(load_u16(data + i * BlockBytes));
    };
    halves = _mm_setr_epi16(half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7));
  } else {
    alignas(16) std::uint16_t some[8] = {};
    for (std::uint32_t i = 0; i < count; ++i) {
      some[i] = load_u16(data + i * BlockBytes);
    }
    halves = load_16(some);
  }
  const __m256 d = _mm256_cvtph_ps(halves);
  return _mm256_cvtps_epi32(_mm256_mul_ps(d, _mm256_set1_ps(0x1p24F)));
}

/// A row times `Tokens` tokens straight from its bytes, eight blocks at a time.
template <class Format, int Tokens>
inline void block_row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                      std::int64_t (&sums)[Tokens]) {
  const std::uint32_t blocks = x.cols / block;
  __m256i even[Tokens];
  __m256i odds[Tokens];
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    even[t] = _mm256_setzero_si256();
    odds[t] = _mm256_setzero_si256();
  }
  for (std::uint32_t b = 0; b < blocks; b += 8, data += 8 * Format::bytes) {
    const std::uint32_t count = blocks - b < 8 ? blocks - b : 8;
    prefetch<(8 * Format::bytes + 63) / 64>(data);
    const __m256i scale = block_scales<Format::bytes>(data, count);
    const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                                               _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = token + static_cast<std::size_t>(t);
      const __m256i products =
          products_of_blocks<Format>(data, count, x.q + at * x.cols + b * block);
      const __m256i centred =
          Format::centred(products, _mm256_maskload_epi32(x.sum + at * blocks + b, present));
      // |dot * k| <= 2,130,186,240 fits 32 bits.
      const __m256i scaled =
          _mm256_mullo_epi32(centred, _mm256_maskload_epi32(x.k + at * blocks + b, present));
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(scaled, scale));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(scaled), odd(scale)));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

/// What both formats share; `Format` adds its block size, `dot`, `centred` and `unpack_block`.
template <class Format, class Dot>
struct block_format : panel_format {
  using panel = block_panel;

  static void unpack(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                     std::uint32_t col, std::uint32_t cols, panel& out) {
    data += col / block * Format::bytes;
    for (std::uint32_t b = 0; b < cols / block; ++b, data += Format::bytes) {
      out.scale[b] = row_scales(data, row_bytes, rows);
      Format::unpack_block(data + 2, row_bytes, rows, out.w + std::size_t{b} * 8);
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    block_tile<Dot, Tokens>(p, x, token, col, cols, sums);
  }

  template <int Tokens>
  static void row(const unsigned char* data, const x86::batch_view& x, std::uint32_t token,
                  std::int64_t (&sums)[Tokens]) {
    block_row<Format, Tokens>(data, x, token, sums);
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    const packed_blocks<Format, x86::ask_into::nothing> source{from, col};
    for (std::uint32_t b = 0; b < cols / block; ++b) {
      out.scale[b] = source.scales(b);
#pragma GCC unroll 8
      for (std::uint32_t j = 0; j < 8; ++j) {
        out.w[b * 8 + j] = source.weights(b, j);
      }
    }
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    block_tile<Dot, Tokens>(packed_blocks<Format, Asks>{p, col}, x, token, col, cols, sums);
  }
};

struct q8_0 : block_format<q8_0, signed_dot> {
  static constexpr std::size_t bytes = q8_0_bytes;

  static __m256i packed_weights(const unsigned char* p, std::uint32_t j) {
    return _mm256_xor_si256(load_line(p, j), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static __m256i dot(const unsigned char* p, __m256i q) {
    const __m256i w = load_32(p);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  static __m256i centred(__m256i products, __m256i /*sums*/) { return products; }
  static void unpack_block(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                           __m256i* out) {
    __m256i v[8];
    load_panel(data, row_bytes, rows, v);
    for (int j = 0; j < 8; ++j) {
      out[j] = v[j];
    }
  }
};

struct q4_0 : block_format<q4_0, nibble_dot> {
  static constexpr std::size_t bytes = q4_0_bytes;

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
  static void unpack_block(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                           __m256i* out) {
    __m256i v[8];
    for (std::uint32_t r = 0; r < avx2::panel_rows; ++r) {
      v[r] = r < rows ? nibbles(data + r * row_bytes) : _mm256_setzero_si256();
    }
    transpose(v);
    for (int j = 0; j < 8; ++j) {
      out[j] = v[j];
    }
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
