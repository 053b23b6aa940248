// The float operations of exact-1 on NEON: sixteen lanes in four registers. Every instruction here
// is one of every aarch64 processor.
#if defined(__aarch64__)

#include "compute/kernels/x86/floats.hpp"

#include "compute/kernels/arm/intrinsics.hpp"
#include "compute/kernels/arm/kernels.hpp"
#include "compute/kernels/x86/attention.hpp"
#include "compute/kernels/x86/float_products.hpp"

namespace ovir::compute::neon {

namespace {

struct lanes {
  static constexpr int parts = 4;
  using part = float32x4_t;

  part p[parts];

  static constexpr int attend_heads = 2;
  static constexpr int attend_positions = 2;
  static constexpr int attend_blocks = 2;
  static constexpr int tile_rows = 2;
  static constexpr int tile_tokens = 2;
  static constexpr int packed_tile_rows = 2;
  static constexpr int packed_tile_tokens = 2;
  static constexpr int one_token_rows = 4;

  /// A register after the other, by `f(i)`.
  template <class F>
  __attribute__((always_inline)) static lanes each(F f) {
    return {{f(0), f(1), f(2), f(3)}};
  }

  static lanes all(float x) {
    return each([&](int) { return vdupq_n_f32(x); });
  }
  static lanes zero() { return all(0.0F); }
  static part zero_part() { return vdupq_n_f32(0.0F); }
  static part load_part(const void* p, int i) {
    return vld1q_f32(static_cast<const float*>(p) + 4 * i);
  }
  static uint16x4_t load_words(const void* p, int i) {
    return vld1_u16(static_cast<const std::uint16_t*>(p) + 4 * i);
  }
  static part load_half_part(const void* p, int i) {
    return vcvt_f32_f16(vreinterpret_f16_u16(load_words(p, i)));
  }
  static part load_bfloat_part(const void* p, int i) {
    return vreinterpretq_f32_u32(vshll_n_u16(load_words(p, i), 16));
  }
  static part fma_part(part a, part b, part c) { return vfmaq_f32(c, a, b); }
  static lanes of_parts(const part (&from)[parts]) {
    return each([&](int i) { return from[i]; });
  }
  static lanes load(const void* p) {
    return each([&](int i) { return load_part(p, i); });
  }
  static lanes load_half(const void* p) {
    return each([&](int i) { return load_half_part(p, i); });
  }
  static lanes load_bfloat(const void* p) {
    return each([&](int i) { return load_bfloat_part(p, i); });
  }
  static lanes load_some(const void* p, std::uint32_t n) {
    float padded[16] = {};
    __builtin_memcpy(padded, p, n * sizeof padded[0]);
    return load(padded);
  }
  static lanes load_half_some(const void* p, std::uint32_t n) {
    std::uint16_t padded[16] = {};
    __builtin_memcpy(padded, p, n * sizeof padded[0]);
    return load_half(padded);
  }
  static lanes load_bfloat_some(const void* p, std::uint32_t n) {
    std::uint16_t padded[16] = {};
    __builtin_memcpy(padded, p, n * sizeof padded[0]);
    return load_bfloat(padded);
  }
  static void store(float* p, lanes a) {
    for (int i = 0; i < parts; ++i) {
      vst1q_f32(p + 4 * i, a.p[i]);
    }
  }
  static void store_some(float* p, lanes a, std::uint32_t n) {
    float some[16];
    store(some, a);
    __builtin_memcpy(p, some, n * sizeof some[0]);
  }
  static void store_half(std::uint16_t* p, lanes a) {
    for (int i = 0; i < parts; ++i) {
      vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.p[i])));
    }
  }

  static lanes add(lanes a, lanes b) {
    return each([&](int i) { return vaddq_f32(a.p[i], b.p[i]); });
  }
  static lanes sub(lanes a, lanes b) {
    return each([&](int i) { return vsubq_f32(a.p[i], b.p[i]); });
  }
  static lanes mul(lanes a, lanes b) {
    return each([&](int i) { return vmulq_f32(a.p[i], b.p[i]); });
  }
  static lanes div(lanes a, lanes b) {
    return each([&](int i) { return vdivq_f32(a.p[i], b.p[i]); });
  }
  /// b where either is a NaN or both are zeros: the processor's own maximum says otherwise.
  static lanes max(lanes a, lanes b) {
    return each([&](int i) { return vbslq_f32(vcgtq_f32(a.p[i], b.p[i]), a.p[i], b.p[i]); });
  }
  static lanes min(lanes a, lanes b) {
    return each([&](int i) { return vbslq_f32(vcltq_f32(a.p[i], b.p[i]), a.p[i], b.p[i]); });
  }
  static lanes negate(lanes a) {
    return each([&](int i) { return vnegq_f32(a.p[i]); });
  }
  static lanes fma(lanes a, lanes b, lanes c) {
    return each([&](int i) { return vfmaq_f32(c.p[i], a.p[i], b.p[i]); });
  }
  /// fma in the first n lanes; the others keep c.
  static lanes fma_some(lanes a, lanes b, lanes c, std::uint32_t n) {
    static constexpr std::uint32_t numbers[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                  8, 9, 10, 11, 12, 13, 14, 15};
    return each([&](int i) {
      const uint32x4_t first = vcltq_u32(vld1q_u32(numbers + 4 * i), vdupq_n_u32(n));
      return vbslq_f32(first, vfmaq_f32(c.p[i], a.p[i], b.p[i]), c.p[i]);
    });
  }
  static float square_root(float x) { return __builtin_sqrtf(x); }

  static part power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  static lanes scale_by_power(lanes p, lanes n) {
    return each([&](int i) {
      const int32x4_t whole = vcvtnq_s32_f32(n.p[i]);
      const int32x4_t half = vshrq_n_s32(whole, 1);
      return vmulq_f32(vmulq_f32(p.p[i], power_of_two(half)), power_of_two(vsubq_s32(whole, half)));
    });
  }
  static lanes keep_nan(lanes x, lanes y) {
    return each([&](int i) { return vbslq_f32(vceqq_f32(x.p[i], x.p[i]), y.p[i], x.p[i]); });
  }
  static lanes rotate(lanes x, lanes cos_sin) {
    static constexpr std::uint32_t even_signs[4] = {0x80000000, 0, 0x80000000, 0};
    return each([&](int i) {
      const part c = vtrn1q_f32(cos_sin.p[i], cos_sin.p[i]);
      const part s = vtrn2q_f32(cos_sin.p[i], cos_sin.p[i]);
      const uint32x4_t other = vreinterpretq_u32_f32(vmulq_f32(vrev64q_f32(x.p[i]), s));
      // a - b is a + (-b), to the bit.
      return vaddq_f32(vmulq_f32(x.p[i], c),
                       vreinterpretq_f32_u32(veorq_u32(other, vld1q_u32(even_signs))));
    });
  }

  /// Lanes l and l+8, l+4, l+2, l+1.
  static float fold(lanes a) {
    const part four = vaddq_f32(vaddq_f32(a.p[0], a.p[2]), vaddq_f32(a.p[1], a.p[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static void fold_four(const lanes* s, float* out) {
    for (int i = 0; i < 4; ++i) {
      out[i] = fold(s[i]);
    }
  }

  using exponents = int32x4_t;
  static exponents no_exponents() { return vdupq_n_s32(0); }
  static int32x4_t magnitude(part a) {
    return vandq_s32(vreinterpretq_s32_f32(a), vdupq_n_s32(0x7FFFFFFF));
  }
  static exponents join(exponents seen, lanes a) {
    for (int i = 0; i < parts; ++i) {
      seen = vmaxq_s32(seen, magnitude(a.p[i]));
    }
    return seen;
  }
  static bool all_finite(exponents seen) { return vmaxvq_s32(seen) < 0x7F800000; }

  /// The largest magnitude of 32, or infinity when one of them is not finite.
  static float largest_of_32(const float* x) {
    const std::int32_t most = vmaxvq_s32(join(join(no_exponents(), load(x)), load(x + 16)));
    return most < 0x7F800000 ? vgetq_lane_f32(vreinterpretq_f32_s32(vdupq_n_s32(most)), 0)
                             : __builtin_inff();
  }
  /// q = rne(x / step) within +-127; returns the sum.
  static std::int32_t quantize_32(const float* x, float step, std::int8_t* q) {
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; i < 32; i += 8) {
      int16x4_t halves[2];
      for (int h = 0; h < 2; ++h) {
        const part quotient = vdivq_f32(vld1q_f32(x + i + 4 * h), vdupq_n_f32(step));
        const int32x4_t rounded =
            vmaxq_s32(vminq_s32(vcvtnq_s32_f32(quotient), vdupq_n_s32(127)), vdupq_n_s32(-127));
        sum = vaddq_s32(sum, rounded);
        halves[h] = vmovn_s32(rounded);
      }
      vst1_s8(q + i, vmovn_s16(vcombine_s16(halves[0], halves[1])));
    }
    return vaddvq_s32(sum);
  }
  static void remainder_32(const float* x, float step, const std::int8_t* q, float* out) {
    for (int i = 0; i < 32; i += 8) {
      const int16x8_t whole = vmovl_s8(vld1_s8(q + i));
      const part low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(whole)));
      const part high = vcvtq_f32_s32(vmovl_high_s16(whole));
      const part divisor = vdupq_n_f32(step);
      vst1q_f32(out + i, vfmsq_f32(vld1q_f32(x + i), low, divisor));
      vst1q_f32(out + i + 4, vfmsq_f32(vld1q_f32(x + i + 4), high, divisor));
    }
  }
};

} // namespace

void product_f32(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                 const x86::float_batch& batch) {
  x86::product_float<lanes, x86::f32_element<lanes>>(w, first, last, batch);
}
void product_f16(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                 const x86::float_batch& batch) {
  x86::product_float<lanes, x86::f16_element<lanes>>(w, first, last, batch);
}
void product_bf16(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::float_batch& batch) {
  x86::product_float<lanes, x86::bf16_element<lanes>>(w, first, last, batch);
}

bool quantize(const float* x, const x86::quantized_row& out) {
  return x86::quantize<lanes>(x, out);
}
void remainder(const float* x, const x86::batch_view& batch, std::uint32_t token, float* out) {
  x86::remainder<lanes>(x, batch, token, out);
}
void rms_norm(const float* x, const float* w, std::uint32_t n, float epsilon, float* y) {
  x86::rms_norm<lanes>(x, w, n, epsilon, y);
}
void swiglu(const float* gate, const float* up, std::uint32_t n, float* out) {
  x86::swiglu<lanes>(gate, up, n, out);
}
void rotate(float* x, const float* cos_sin, std::uint32_t pairs) {
  x86::rotate<lanes>(x, cos_sin, pairs);
}
void attend(const x86::attention& task) { x86::attend<lanes>(task); }
bool add(float* a, const float* b, std::uint32_t n) { return x86::add<lanes>(a, b, n); }
bool to_half(const float* x, std::uint32_t n, std::uint16_t* out) {
  return x86::to_half<lanes>(x, n, out);
}

} // namespace ovir::compute::neon

#endif
