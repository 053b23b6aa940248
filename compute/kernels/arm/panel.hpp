#pragma once

#if defined(__aarch64__)

#include "compute/kernels/arm/intrinsics.hpp"
#include "compute/kernels/arm/kernels.hpp"
#include "compute/tensor/layouts.hpp"

/// Products with packed weights: 256 columns of sixteen rows become bytes, all tokens meet them,
/// and sums of 64 bits wait in memory. What differs between types is one unpacking function; what
/// differs between instruction sets is `Dot`, a type of an anonymous namespace, so that each
/// instantiation is private to its file. It has
///   tile_tokens               tokens whose sums fit the registers
///   arrange(panel)            moves a panel's bytes to where `dots` expects them
///   dots<Tokens, Dwords>(...) products of so many dwords with sixteen rows
namespace ovir::compute::arm {
namespace {

/// How the columns of a type are scaled.
enum class scaling : std::uint8_t {
  blocks,     ///< a scale per 32, no mins
  eights,     ///< superblocks with a scale per 32
  eight_mins, ///< and a min per 32
  sixteens,   ///< superblocks with a scale per 16
  sixteen_mins,
};

/// What products of a type need to know of it.
struct panel_type {
  unpack_function* unpack;
  std::size_t step_bytes; ///< of 256 packed columns
};

/// S of sixteen rows and one token, in units of 2^-24 u.
using row_sums = std::int64_t[panel_rows];

/// sums + products * factors, row by row, widened.
inline void add_widened(std::int64_t* sums, int32x4_t products, int32x4_t factors) {
  int64x2_t low = vld1q_s64(sums);
  int64x2_t high = vld1q_s64(sums + 2);
  low = vmlal_s32(low, vget_low_s32(products), vget_low_s32(factors));
  high = vmlal_high_s32(high, products, factors);
  vst1q_s64(sums, low);
  vst1q_s64(sums + 2, high);
}

/// Blocks of 32: dot, times k within 32 bits (|dot * k| <= 2,130,186,240), times D in 64.
template <class Dot, int Tokens>
void tile_blocks(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                 std::uint32_t cols, row_sums* sums) {
  for (std::uint32_t b = 0; b < cols / 32; ++b) {
    int32x4_t dot[Tokens][4];
    Dot::template dots<Tokens, 8>(p.w[8 * b], x.q + std::size_t{token} * x.cols + col + 32 * b,
                                  x.cols, dot);
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Tokens; ++t) {
      const std::int32_t k = x.k[(token + t) * x.scales + col / 32 + b];
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) {
        add_widened(sums[t] + 4 * r, vmulq_n_s32(dot[t][r], k), vld1q_s32(p.d[b] + 4 * r));
      }
    }
  }
}

/// part += m * sum of scale * dot over 32 elements from line 8 j on.
template <class Dot, int Tokens, bool Sixteens>
inline void add_block(const panel& p, std::uint32_t j, const std::int8_t* q, std::size_t stride,
                      const std::int32_t* m, std::size_t m_stride, int32x4_t (&part)[Tokens][4]) {
  constexpr std::uint32_t groups = Sixteens ? 2 : 1;
  constexpr int dwords = Sixteens ? 4 : 8;
  for (std::uint32_t g = 0; g < groups; ++g) {
    int32x4_t dot[Tokens][4];
    Dot::template dots<Tokens, dwords>(p.w[8 * j + 4 * g], q + 32 * j + 16 * g, stride, dot);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      const int32x4_t scale = vld1q_s32(p.scale[groups * j + g] + 4 * r);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < Tokens; ++t) {
        part[t][r] = vmlaq_n_s32(part[t][r], vmulq_s32(dot[t][r], scale), m[t * m_stride + j]);
      }
    }
  }
}

/// sums -= M * k * sum over groups of min * m * sum of q.
template <bool Sixteens>
inline void subtract_mins(const panel& p, const std::int8_t* q, const std::int32_t* sum,
                          const std::int32_t* m, std::int32_t k, std::int64_t* sums) {
  constexpr std::uint32_t groups = Sixteens ? 16 : 8;
  int32x4_t mins[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  for (std::uint32_t g = 0; g < groups; ++g) {
    const std::int32_t all = Sixteens ? vaddlvq_s8(vld1q_s8(q + 16 * g)) : sum[g];
    const std::int32_t factor = all * m[g * 8 / groups];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      mins[r] = vmlaq_n_s32(mins[r], vld1q_s32(p.min[g] + 4 * r), factor);
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < 4; ++r) { // |M| < 2^19, k < 2^12
    add_widened(sums + 4 * r, mins[r], vmulq_n_s32(vld1q_s32(p.m + 4 * r), -k));
  }
}

/// A superblock. Sums of 64 elements fit 32 bits in every type: the largest are Q6_K's,
/// 64 * 32 * 127 * 128 * 63 = 2,097,414,144, and IQ4_XS's, 64 * 127 * 127 * 32 * 63.
template <class Dot, int Tokens, bool Sixteens, bool Mins>
void tile_superblock(const panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, row_sums* sums) {
  const std::int8_t* const q = x.q + std::size_t{token} * x.cols + col;
  const std::size_t blocks = x.cols / 32;
  const std::int32_t* const m = x.m + token * blocks + col / 32;
  for (std::uint32_t j = 0; j < 8; j += 2) {
    int32x4_t part[Tokens][4];
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Tokens; ++t) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) {
        part[t][r] = vdupq_n_s32(0);
      }
    }
    add_block<Dot, Tokens, Sixteens>(p, j, q, x.cols, m, blocks, part);
    add_block<Dot, Tokens, Sixteens>(p, j + 1, q, x.cols, m, blocks, part);
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Tokens; ++t) {
      const std::int32_t k = x.k[(token + t) * x.scales + col / 256];
#pragma GCC unroll 4
      for (std::size_t r = 0; r < 4; ++r) { // |D| < 2^19, k < 2^12
        add_widened(sums[t] + 4 * r, part[t][r], vmulq_n_s32(vld1q_s32(p.d[0] + 4 * r), k));
      }
    }
  }
  for (std::size_t t = 0; Mins && t < Tokens; ++t) {
    subtract_mins<Sixteens>(p, q + t * x.cols, x.sum + (token + t) * blocks + col / 32,
                            m + t * blocks, x.k[(token + t) * x.scales + col / 256], sums[t]);
  }
}

template <class Dot, scaling Scaling, int Tokens>
__attribute__((noinline)) void run_tile(const panel& p, const x86::batch_view& x,
                                        std::uint32_t token, std::uint32_t col, std::uint32_t cols,
                                        row_sums* sums) {
  if constexpr (Scaling == scaling::blocks) {
    tile_blocks<Dot, Tokens>(p, x, token, col, cols, sums);
  } else {
    constexpr bool sixteens = Scaling == scaling::sixteens || Scaling == scaling::sixteen_mins;
    constexpr bool mins = Scaling == scaling::eight_mins || Scaling == scaling::sixteen_mins;
    tile_superblock<Dot, Tokens, sixteens, mins>(p, x, token, col, sums);
  }
}

/// Every token, in the widest tiles that fit.
template <class Dot, scaling Scaling>
void run_tiles(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t count,
               std::uint32_t col, std::uint32_t cols, row_sums* sums) {
  std::uint32_t t = 0;
  for (; t + Dot::tile_tokens <= count; t += Dot::tile_tokens) {
    run_tile<Dot, Scaling, Dot::tile_tokens>(p, x, token + t, col, cols, sums + t);
  }
  for (; t + 2 <= count; t += 2) {
    run_tile<Dot, Scaling, 2>(p, x, token + t, col, cols, sums + t);
  }
  if (t < count) {
    run_tile<Dot, Scaling, 1>(p, x, token + t, col, cols, sums + t);
  }
}

/// Rows [low, high) of a panel and one token: rounded once to binary32, times an exact power of
/// two, or as they are where the batch has room for these.
inline void store_rows(const row_sums& sums, const x86::batch_view& x, float power, std::size_t at,
                       float* y, std::uint32_t low, std::uint32_t high) {
  for (std::uint32_t r = low; r < high; ++r) {
    if (x.sums != nullptr) {
      x.sums[at + r] = sums[r];
    } else {
      y[at + r] = static_cast<float>(sums[r]) * power;
    }
  }
}

template <class Dot, scaling Scaling>
void product_of(const panel_type& type, const x86::matrix_view& w, std::uint32_t first,
                std::uint32_t last, const x86::batch_view& x, float* y, std::size_t y_stride) {
  alignas(64) row_sums sums[x86::panel_tokens];
  panel p;
  for (std::uint32_t token = 0; token < x.tokens; token += x86::panel_tokens) {
    const std::uint32_t left = x.tokens - token;
    const std::uint32_t count = left < x86::panel_tokens ? left : x86::panel_tokens;
    for (std::uint32_t row = first - first % panel_rows; row < last; row += panel_rows) {
      __builtin_memset(sums, 0, count * sizeof sums[0]);
      const unsigned char* data = w.packed + row / panel_rows * w.panel_bytes;
      for (std::uint32_t col = 0; col < w.cols; col += panel_cols, data += type.step_bytes) {
        const std::uint32_t cols = w.cols - col < panel_cols ? w.cols - col : panel_cols;
        type.unpack(data, cols, p);
        Dot::arrange(p);
        run_tiles<Dot, Scaling>(p, x, token, count, col, cols, sums);
      }
      const std::uint32_t low = row < first ? first - row : 0;
      const std::uint32_t high = last - row < panel_rows ? last - row : panel_rows;
      for (std::uint32_t t = 0; t < count; ++t) {
        store_rows(sums[t], x, x.u[token + t] * w.unit, (token + t) * y_stride + row, y, low, high);
      }
    }
  }
}

/// Bytes of eight packed blocks of 32, each with its scale and `weights` bytes.
constexpr std::size_t eight_blocks(std::size_t weights) { return 8 * panel_rows * (2 + weights); }

/// The types that have panels, each with its instantiation for `Dot`.
template <class Dot>
struct products {
  static void q8_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::blocks>({neon::unpack_q8_0, eight_blocks(32)}, w, first, last, x, y,
                                     y_stride);
  }
  static void q4_0(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::blocks>({neon::unpack_q4_0, eight_blocks(16)}, w, first, last, x, y,
                                     y_stride);
  }
  static void q4_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::eight_mins>({neon::unpack_q4_k, layout::q4_k_panel::bytes}, w, first,
                                         last, x, y, y_stride);
  }
  static void q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::eight_mins>({neon::unpack_q5_k, layout::q5_k_panel::bytes}, w, first,
                                         last, x, y, y_stride);
  }
  static void q6_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::sixteens>({neon::unpack_q6_k, layout::q6_k_panel::bytes}, w, first,
                                       last, x, y, y_stride);
  }
  static void q2_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::sixteen_mins>({neon::unpack_q2_k, layout::q2_k_panel::bytes}, w, first,
                                           last, x, y, y_stride);
  }
  static void q3_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::sixteens>({neon::unpack_q3_k, layout::q3_k_panel::bytes}, w, first,
                                       last, x, y, y_stride);
  }
  static void iq4_xs(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                     const x86::batch_view& x, float* y, std::size_t y_stride) {
    product_of<Dot, scaling::eights>({neon::unpack_iq4_xs, layout::iq4_xs_panel::bytes}, w, first,
                                     last, x, y, y_stride);
  }
};

} // namespace
} // namespace ovir::compute::arm

#endif
