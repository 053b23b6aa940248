#pragma once

#if defined(__aarch64__)

#include "compute/kernels/arm/intrinsics.hpp"
#include "compute/kernels/arm/kernels.hpp"

/// Products with rows that unpacked_rows.hpp made. `Dot::add_sixteen(sum, w, q)` adds four products
/// to each lane and is, like all here, private to the including file.
namespace ovir::compute::arm {
namespace {

constexpr std::size_t head_bytes = 8; ///< D and M

inline std::int32_t load_dword(const unsigned char* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline int8x16_t load_bytes(const void* p) { return vld1q_s8(static_cast<const std::int8_t*>(p)); }

/// sum + lanes * factor, all lanes widened to 64 bits.
inline int64x2_t add_scaled(int64x2_t sum, int32x4_t lanes, std::int32_t factor) {
  return vmlal_high_n_s32(vmlal_n_s32(sum, vget_low_s32(lanes), factor), lanes, factor);
}

/// One row times one token, blocks of 32.
template <class Dot>
struct by_32 {
  static std::int64_t product(const unsigned char* row, const x86::batch_view& x,
                              std::uint32_t token) {
    const std::int8_t* q = x.q + std::size_t{token} * x.cols;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales;
    const std::int32_t* sum = x.sum + std::size_t{token} * (x.cols / 32);
    int64x2_t total = vdupq_n_s64(0);
    std::int64_t mins = 0;
    for (std::uint32_t b = 0; b < x.cols / 32; ++b, row += head_bytes + 32, q += 32) {
      const unsigned char* w = row + head_bytes;
      int32x4_t lanes = Dot::add_sixteen(vdupq_n_s32(0), load_bytes(w), load_bytes(q));
      lanes = Dot::add_sixteen(lanes, load_bytes(w + 16), load_bytes(q + 16));
      // A lane is at most 8 * 128 * 127 * 4095 < 2^30.
      total = add_scaled(total, vmulq_n_s32(lanes, k[b]), load_dword(row));
      mins += std::int64_t{load_dword(row + 4)} * (k[b] * sum[b]);
    }
    return vaddvq_s64(total) - mins;
  }
};

/// One row times one token, superblocks of 256.
template <class Dot>
struct by_256 {
  static std::int64_t product(const unsigned char* row, const x86::batch_view& x,
                              std::uint32_t token) {
    const std::int8_t* q = x.q + std::size_t{token} * x.cols;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales;
    const std::int32_t* m = x.m + std::size_t{token} * (x.cols / 32);
    int64x2_t total = vdupq_n_s64(0);
    for (std::uint32_t b = 0; b < x.cols / 256; ++b, m += 8, q += 256) {
      const std::int32_t d = load_dword(row) * k[b]; // |D| < 2^19, k < 2^12
      const std::int32_t min_scale = load_dword(row + 4);
      const auto* scale = reinterpret_cast<const signed char*>(row + head_bytes);
      const signed char* min = scale + 16;
      const unsigned char* w = row + head_bytes + 32;
      int32x4_t mins = vdupq_n_s32(0);
      for (std::uint32_t half = 0; half < 16; half += 8) {
        // A lane of one group is at most 4 * 32 * 127 * 128 * 63 (Q6_K), so that those of half a
        // superblock stay below 2^31.
        int32x4_t lanes = vdupq_n_s32(0);
        for (std::uint32_t g = half; g < half + 8; ++g) {
          const int8x16_t some = load_bytes(q + 16 * g);
          const int32x4_t dot = Dot::add_sixteen(vdupq_n_s32(0), load_bytes(w + 16 * g), some);
          lanes = vmlaq_n_s32(lanes, dot, scale[g] * m[g / 2]);
          if (min_scale != 0) {
            mins = vmlaq_n_s32(mins, vpaddlq_s16(vpaddlq_s8(some)), min[g] * m[g / 2]);
          }
        }
        total = add_scaled(total, lanes, d);
      }
      total = add_scaled(total, mins, -(min_scale * k[b]));
      row += head_bytes + 32 + 256;
    }
    return vaddvq_s64(total);
  }
};

template <class Form>
void product_of_rows(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                     const x86::batch_view& x, float* y, std::size_t y_stride) {
  for (std::uint32_t row = first; row < last; ++row) {
    const unsigned char* const data = w.data + row * w.row_bytes;
    for (std::uint32_t token = 0; token < x.tokens; ++token) {
      const std::int64_t sum = Form::product(data, x, token);
      if (x.sums != nullptr) {
        x.sums[token * y_stride + row] = sum;
      } else {
        // One conversion, one rounding; the power of two is exact.
        y[token * y_stride + row] = static_cast<float>(sum) * (x.u[token] * w.unit);
      }
    }
  }
}

} // namespace
} // namespace ovir::compute::arm

#endif
