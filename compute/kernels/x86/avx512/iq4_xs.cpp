// The product of packed IQ4_XS on AVX-512 VNNI: superblocks of 256 elements, each one of sixteen
// levels, eight signed 6-bit scales, D. S = sum over superblocks of k D sum_j sc_j m_j dot_j.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx512/exact_sums.hpp"
#include "compute/kernels/x86/avx512/integers.hpp"

namespace ovir::compute::avx512 {

namespace {

constexpr std::uint32_t superblock = 256;
constexpr int groups = 8;

/// Where a dot product with levels that have 128 added starts from: -128 times the sum of q_j.
struct level_biases {
  alignas(32) std::int32_t at[groups];

  inline void of(const std::int32_t* sum) {
    const __m256i bias = _mm256_slli_epi32(load_32(sum), 7);
    _mm256_store_si256(reinterpret_cast<__m256i*>(at),
                       _mm256_sub_epi32(_mm256_setzero_si256(), bias));
  }
};

/// A superblock of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_levels {
  static constexpr std::size_t bytes = layout::iq4_xs_panel::bytes;
  static constexpr std::size_t low_scales_at = layout::iq4_xs_panel::low_scales;
  static constexpr std::size_t nibbles_at = layout::iq4_xs_panel::nibbles;

  const unsigned char* data;
  __m512i d;
  __m512i low;  ///< nibble j: the low bits of sc_j + 32
  __m512i high; ///< from bit 4 on, two bits of each

  __attribute__((always_inline)) explicit inline packed_levels(const unsigned char* p)
      : data(p), d(load_scales(p)), low(load_line(p, 1)),
        high(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_32(p + 32)), 4)) {
    x86::ask_beyond_lines<Asks, nibbles_at / 64>(data);
  }

  /// Elements 4 i of group j, with 128 added.
  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int j, int i) const {
    const unsigned char* line = data + nibbles_at + static_cast<std::size_t>(j * 4 + i % 4) * 64;
    if (i < 4) {
      x86::ask_beyond<Asks>(line);
    }
    const __m512i levels = _mm512_broadcast_i32x4(_mm_setr_epi8(
        1, 24, 45, 63, 79, 93, 106, 118, static_cast<char>(129), static_cast<char>(141),
        static_cast<char>(153), static_cast<char>(166), static_cast<char>(181),
        static_cast<char>(197), static_cast<char>(217), static_cast<char>(241)));
    const __m512i both = _mm512_loadu_si512(line);
    return _mm512_shuffle_epi8(
        levels, _mm512_and_si512(i < 4 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15)));
  }
  /// sc_j of each row.
  [[nodiscard]] __attribute__((always_inline)) inline __m512i scales(int j) const {
    const __m128i by = _mm_cvtsi32_si128(4 * j);
    const __m128i by_half = _mm_cvtsi32_si128(2 * j);
    const __m512i six =
        _mm512_or_si512(_mm512_and_si512(_mm512_srl_epi32(low, by), _mm512_set1_epi32(15)),
                        _mm512_and_si512(_mm512_srl_epi32(high, by_half), _mm512_set1_epi32(0x30)));
    return _mm512_sub_epi32(six, _mm512_set1_epi32(32));
  }
};

/// One superblock of 16 rows for `Tokens` tokens. Pointers are at the superblock, of token 0.
template <int Tokens, class Source>
inline void superblock_tile(const Source& source, const x86::batch_view& x, const std::int8_t* q,
                            const std::int32_t* k, const std::int32_t* m, const level_biases* bias,
                            exact_sums* sums) {
  const std::size_t m_stride = x.cols / 32;
  // Two groups at a time: 516,128 * 32 * 63 * 2 = 2,081,028,096 fits 32 bits.
  for (int pair = 0; pair < groups; pair += 2) {
    __m512i scaled[Tokens];
#pragma GCC unroll 2
    for (int side = 0; side < 2; ++side) {
      const int j = pair + side;
      __m512i dot[Tokens];
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        dot[t] = broadcast(bias[static_cast<std::size_t>(t) * x.scales].at + j);
      }
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const __m512i w = source.weights(j, i);
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) {
          dot[t] =
              add_products(dot[t], w, q + static_cast<std::size_t>(t) * x.cols + j * 32 + i * 4);
        }
      }
      const __m512i scale = source.scales(j);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        // m has nothing in its upper half, so this is a product of signed 16-bit numbers.
        const __m512i factor =
            _mm512_madd_epi16(scale, broadcast(m + static_cast<std::size_t>(t) * m_stride + j));
        const __m512i one = _mm512_mullo_epi32(dot[t], factor);
        scaled[t] = side == 0 ? one : _mm512_add_epi32(scaled[t], one);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      sums[t].add_superblock(scaled[t], k + static_cast<std::size_t>(t) * x.scales, source.d);
    }
  }
}

struct iq4_xs : panel_format<exact_sums> {

  static void prepare(const x86::batch_view& x, std::uint32_t token, std::uint32_t count) {
    prepare_superblocks<level_biases>(
        x, token, count, [&](level_biases& out, std::size_t i) { out.of(x.sum + i * 8); });
  }
  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    const std::size_t m_at = std::size_t{token} * (x.cols / 32) + col / 32;
    const std::int8_t* q = x.q + std::size_t{token} * x.cols + col;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales + col / superblock;
    const level_biases* bias = prepared_at<level_biases>(x, token, col);
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      using source = packed_levels<Asks>;
      const source block{p.data + (std::size_t{col} / superblock + b) * source::bytes};
      superblock_tile<Tokens>(block, x, q + b * superblock, k + b, x.m + m_at + b * 8, bias + b,
                              sums);
    }
  }
};

} // namespace

void product_iq4_xs(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                    const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<iq4_xs>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
