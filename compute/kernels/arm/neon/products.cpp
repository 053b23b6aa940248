// Integer products with the instructions of every aarch64 processor: bytes to 16 bits, pairs of
// products of one row added there, then to 32.
#if defined(__aarch64__)

#include "compute/kernels/arm/panel.hpp"
#include "compute/kernels/arm/rows.hpp"

namespace ovir::compute::neon {

namespace {

struct dot {
  static constexpr std::uint32_t tile_tokens = 2; // two registers of sums for four rows

  static void arrange(arm::panel&) {}

  /// Both halves of sixteen products: two of at most 128 * 127 fit 16 bits.
  static int32x4_t add_sixteen(int32x4_t sum, int8x16_t w, int8x16_t q) {
    const int16x8_t pairs = vmull_s8(vget_low_s8(w), vget_low_s8(q));
    return vpadalq_s16(sum, vmlal_high_s8(pairs, w, q));
  }

  template <int Tokens, int Dwords>
  static void dots(const std::int8_t* lines, const std::int8_t* q, std::size_t stride,
                   int32x4_t (&out)[Tokens][4]) {
    int32x4_t low[Tokens][4];
    int32x4_t high[Tokens][4];
#pragma GCC unroll 2
    for (std::size_t t = 0; t < Tokens; ++t) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) {
        low[t][r] = high[t][r] = vdupq_n_s32(0);
      }
    }
    for (std::size_t i = 0; i < Dwords; i += 2, lines += 2 * arm::line_bytes) {
#pragma GCC unroll 2
      for (std::size_t t = 0; t < Tokens; ++t) {
        const int32x2_t both = vreinterpret_s32_s8(vld1_s8(q + t * stride + 4 * i));
        const int8x16_t first = vreinterpretq_s8_s32(vdupq_lane_s32(both, 0));
        const int8x16_t second = vreinterpretq_s8_s32(vdupq_lane_s32(both, 1));
#pragma GCC unroll 4
        for (std::size_t r = 0; r < 4; ++r) {
          const int8x16_t a = vld1q_s8(lines + 16 * r);
          const int8x16_t b = vld1q_s8(lines + arm::line_bytes + 16 * r);
          int16x8_t pairs = vmull_s8(vget_low_s8(a), vget_low_s8(first));
          pairs = vmlal_s8(pairs, vget_low_s8(b), vget_low_s8(second));
          low[t][r] = vpadalq_s16(low[t][r], pairs);
          pairs = vmlal_high_s8(vmull_high_s8(a, first), b, second);
          high[t][r] = vpadalq_s16(high[t][r], pairs);
        }
      }
    }
#pragma GCC unroll 2
    for (std::size_t t = 0; t < Tokens; ++t) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) {
        out[t][r] = vpaddq_s32(low[t][r], high[t][r]);
      }
    }
  }
};

using all = arm::products<dot>;

} // namespace

void product_q8_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q8_0(w, first, last, x, y, y_stride);
}
void product_q4_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q4_0(w, first, last, x, y, y_stride);
}
void product_q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q4_k(w, first, last, x, y, y_stride);
}
void product_q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q5_k(w, first, last, x, y, y_stride);
}
void product_q6_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q6_k(w, first, last, x, y, y_stride);
}
void product_q2_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q2_k(w, first, last, x, y, y_stride);
}
void product_q3_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::q3_k(w, first, last, x, y, y_stride);
}
void product_iq4_xs(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                    const x86::batch_view& x, float* y, std::size_t y_stride) {
  all::iq4_xs(w, first, last, x, y, y_stride);
}
void product_unpacked_32(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                         const x86::batch_view& x, float* y, std::size_t y_stride) {
  arm::product_of_rows<arm::by_32<dot>>(w, first, last, x, y, y_stride);
}
void product_unpacked_256(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                          const x86::batch_view& x, float* y, std::size_t y_stride) {
  arm::product_of_rows<arm::by_256<dot>>(w, first, last, x, y, y_stride);
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
      sums[i] = dot::add_sixteen(sums[i], x, y);
    }
  }
  std::uint64_t sum = 0;
  for (const int32x4_t one : sums) {
    sum += static_cast<std::uint32_t>(vaddvq_s32(one));
  }
  return sum;
}

} // namespace ovir::compute::neon

#endif
