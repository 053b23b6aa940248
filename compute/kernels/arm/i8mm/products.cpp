// Integer products by SMMLA: two rows of eight bytes times two tokens of eight. A single token has
// nothing of that and takes SDOT's kernels.
#if defined(__aarch64__)

#include "compute/kernels/arm/panel.hpp"

namespace ovir::compute::i8mm {

namespace {

struct dot {
  static constexpr std::uint32_t tile_tokens = 4;

  /// Pairs of lines, [dword][row][4], become [row][8], which SMMLA reads two rows of.
  static void arrange(arm::panel& p) {
    for (std::size_t i = 0; i < arm::panel_cols / 4; i += 2) {
      int32x4_t a[4];
      int32x4_t b[4];
      for (std::size_t r = 0; r < 4; ++r) {
        a[r] = vreinterpretq_s32_s8(vld1q_s8(p.w[i] + 16 * r));
        b[r] = vreinterpretq_s32_s8(vld1q_s8(p.w[i + 1] + 16 * r));
      }
      for (std::size_t r = 0; r < 4; ++r) {
        std::int8_t* const out = r < 2 ? p.w[i] + 32 * r : p.w[i + 1] + 32 * (r - 2);
        vst1q_s8(out, vreinterpretq_s8_s32(vzip1q_s32(a[r], b[r])));
        vst1q_s8(out + 16, vreinterpretq_s8_s32(vzip2q_s32(a[r], b[r])));
      }
    }
  }

  /// Two tokens: a lane of row 0 and each of them, then of row 1.
  template <int Dwords>
  static void dots_of_two(const std::int8_t* lines, const std::int8_t* q, std::size_t stride,
                          int32x4_t* first, int32x4_t* second) {
    int32x4_t sums[8];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < 8; ++r) {
      sums[r] = vdupq_n_s32(0);
    }
    for (std::size_t i = 0; i < Dwords; i += 2, lines += 2 * arm::line_bytes) {
      const int8x16_t both = vcombine_s8(vld1_s8(q + 4 * i), vld1_s8(q + stride + 4 * i));
#pragma GCC unroll 8
      for (std::size_t r = 0; r < 8; ++r) {
        sums[r] = vmmlaq_s32(sums[r], vld1q_s8(lines + 16 * r), both);
      }
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      first[r] = vuzp1q_s32(sums[2 * r], sums[2 * r + 1]);
      second[r] = vuzp2q_s32(sums[2 * r], sums[2 * r + 1]);
    }
  }

  /// The last of an odd number of tokens.
  template <int Dwords>
  static void dots_of_one(const std::int8_t* lines, const std::int8_t* q, int32x4_t* out) {
    int32x4_t sums[8];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < 8; ++r) {
      sums[r] = vdupq_n_s32(0);
    }
    for (std::size_t i = 0; i < Dwords; i += 2, lines += 2 * arm::line_bytes) {
      const int8x8_t one = vld1_s8(q + 4 * i);
      const int8x16_t twice = vcombine_s8(one, one);
#pragma GCC unroll 8
      for (std::size_t r = 0; r < 8; ++r) {
        sums[r] = vdotq_s32(sums[r], vld1q_s8(lines + 16 * r), twice);
      }
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      out[r] = vpaddq_s32(sums[2 * r], sums[2 * r + 1]);
    }
  }

  template <int Tokens, int Dwords>
  static void dots(const std::int8_t* lines, const std::int8_t* q, std::size_t stride,
                   int32x4_t (&out)[Tokens][4]) {
    if constexpr (Tokens == 1) {
      dots_of_one<Dwords>(lines, q, out[0]);
    } else {
#pragma GCC unroll 2
      for (std::size_t t = 0; t < Tokens; t += 2) {
        dots_of_two<Dwords>(lines, q + t * stride, stride, out[t], out[t + 1]);
      }
    }
  }
};

using all = arm::products<dot>;

} // namespace

void product_q8_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q8_0 : dotprod::product_q8_0)(w, first, last, x, y, y_stride);
}
void product_q4_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q4_0 : dotprod::product_q4_0)(w, first, last, x, y, y_stride);
}
void product_q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q4_k : dotprod::product_q4_k)(w, first, last, x, y, y_stride);
}
void product_q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q5_k : dotprod::product_q5_k)(w, first, last, x, y, y_stride);
}
void product_q6_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q6_k : dotprod::product_q6_k)(w, first, last, x, y, y_stride);
}
void product_q2_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q2_k : dotprod::product_q2_k)(w, first, last, x, y, y_stride);
}
void product_q3_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::q3_k : dotprod::product_q3_k)(w, first, last, x, y, y_stride);
}
void product_iq4_xs(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                    const x86::batch_view& x, float* y, std::size_t y_stride) {
  (x.tokens > 1 ? all::iq4_xs : dotprod::product_iq4_xs)(w, first, last, x, y, y_stride);
}

std::uint64_t peak_multiply(std::uint64_t rounds) {
  int32x4_t sums[8];
  for (int i = 0; i < 8; ++i) {
    sums[i] = vdupq_n_s32(i);
  }
  int8x16_t x = vdupq_n_s8(3);
  const int8x16_t y = vdupq_n_s8(5);
  for (std::uint64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      asm volatile("" : "+w"(x)); // or the product would be computed once, before the loop
      sums[i] = vmmlaq_s32(sums[i], x, y);
    }
  }
  std::uint64_t sum = 0;
  for (const int32x4_t one : sums) {
    sum += static_cast<std::uint32_t>(vaddvq_s32(one));
  }
  return sum;
}

} // namespace ovir::compute::i8mm

#endif
