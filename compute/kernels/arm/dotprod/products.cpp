// Integer products by SDOT: four products of bytes added to each lane of 32 bits.
#if defined(__aarch64__)

#include "compute/kernels/arm/panel.hpp"
#include "compute/kernels/arm/rows.hpp"

namespace ovir::compute::dotprod {

namespace {

struct dot {
  static constexpr std::uint32_t tile_tokens = 4;

  static void arrange(arm::panel&) {}

  static int32x4_t add_sixteen(int32x4_t sum, int8x16_t w, int8x16_t q) {
    return vdotq_s32(sum, w, q);
  }

  template <int Tokens, int Lane>
  static void add_line(const std::int8_t* line, const int8x16_t (&q)[Tokens],
                       int32x4_t (&out)[Tokens][4]) {
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      const int8x16_t w = vld1q_s8(line + 16 * r);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < Tokens; ++t) {
        out[t][r] = vdotq_laneq_s32(out[t][r], w, q[t], Lane);
      }
    }
  }

  template <int Tokens, int Dwords>
  static void dots(const std::int8_t* lines, const std::int8_t* q, std::size_t stride,
                   int32x4_t (&out)[Tokens][4]) {
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Tokens; ++t) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) {
        out[t][r] = vdupq_n_s32(0);
      }
    }
    for (std::size_t i = 0; i < Dwords; i += 4, lines += 4 * arm::line_bytes) {
      int8x16_t some[Tokens];
#pragma GCC unroll 4
      for (std::size_t t = 0; t < Tokens; ++t) {
        some[t] = vld1q_s8(q + t * stride + 4 * i);
      }
      add_line<Tokens, 0>(lines, some, out);
      add_line<Tokens, 1>(lines + arm::line_bytes, some, out);
      add_line<Tokens, 2>(lines + 2 * arm::line_bytes, some, out);
      add_line<Tokens, 3>(lines + 3 * arm::line_bytes, some, out);
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

} // namespace ovir::compute::dotprod

#endif
