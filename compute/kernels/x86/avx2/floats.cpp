// The float operations of exact-1 on AVX2: sixteen lanes in two registers.
#if defined(__x86_64__)

#include "compute/kernels/x86/floats.hpp"

#include "compute/kernels/x86/attention.hpp"
#include "compute/kernels/x86/float_products.hpp"
#include "compute/kernels/x86/intrinsics.hpp"

namespace ovir::compute::avx2 {

namespace {

struct lanes {
  __m256 low;
  __m256 high;

  static constexpr int attend_heads = 2;
  static constexpr int attend_positions = 2;
  static constexpr int attend_blocks = 2;
  static constexpr int tile_rows = 2;
  static constexpr int tile_tokens = 2;
  static constexpr int packed_tile_rows = 2;
  static constexpr int packed_tile_tokens = 3;
  static constexpr int one_token_rows = 4;

  static constexpr int parts = 2;
  using part = __m256;

  /// All ones in the first n of sixteen lanes.
  struct mask {
    __m256i low;
    __m256i high;
  };
  static mask first(std::uint32_t n) {
    const __m256i count = _mm256_set1_epi32(static_cast<int>(n));
    return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }

  static lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static lanes all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static lanes load(const void* p) { return {load_part(p, 0), load_part(p, 1)}; }
  static part zero_part() { return _mm256_setzero_ps(); }
  static part load_part(const void* p, int i) {
    return _mm256_loadu_ps(static_cast<const float*>(p) + 8 * i);
  }
  static part load_half_part(const void* p, int i) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p) + i));
  }
  static part load_bfloat_part(const void* p, int i) {
    return from_bfloat(_mm_loadu_si128(static_cast<const __m128i*>(p) + i));
  }
  static part fma_part(part a, part b, part c) { return _mm256_fmadd_ps(a, b, c); }
  static lanes of_parts(const part (&p)[parts]) { return {p[0], p[1]}; }
  static lanes load_some(const void* p, std::uint32_t n) {
    const auto* f = static_cast<const float*>(p);
    const mask m = first(n);
    return {_mm256_maskload_ps(f, m.low), _mm256_maskload_ps(f + 8, m.high)};
  }
  static lanes load_half(const void* p) { return {load_half_part(p, 0), load_half_part(p, 1)}; }
  static lanes load_half_some(const void* p, std::uint32_t n) {
    std::uint16_t padded[16] = {};
    __builtin_memcpy(padded, p, n * sizeof padded[0]);
    return load_half(padded);
  }
  static __m256 from_bfloat(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static lanes load_bfloat(const void* p) {
    return {load_bfloat_part(p, 0), load_bfloat_part(p, 1)};
  }
  static lanes load_bfloat_some(const void* p, std::uint32_t n) {
    std::uint16_t padded[16] = {};
    __builtin_memcpy(padded, p, n * sizeof padded[0]);
    return load_bfloat(padded);
  }
  static void store(float* p, lanes a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
  }
  static void store_some(float* p, lanes a, std::uint32_t n) {
    const mask m = first(n);
    _mm256_maskstore_ps(p, m.low, a.low);
    _mm256_maskstore_ps(p + 8, m.high, a.high);
  }
  static void store_half(std::uint16_t* p, lanes a) {
    constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    auto* out = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(out, _mm256_cvtps_ph(a.low, nearest));
    _mm_storeu_si128(out + 1, _mm256_cvtps_ph(a.high, nearest));
  }

  static lanes add(lanes a, lanes b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static lanes sub(lanes a, lanes b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static lanes mul(lanes a, lanes b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static lanes div(lanes a, lanes b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static lanes max(lanes a, lanes b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static lanes min(lanes a, lanes b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static lanes negate(lanes a) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
  }
  static lanes fma(lanes a, lanes b, lanes c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  /// fma in the first n lanes; the others keep c.
  static lanes fma_some(lanes a, lanes b, lanes c, std::uint32_t n) {
    const lanes sum = fma(a, b, c);
    const mask m = first(n);
    return {_mm256_blendv_ps(c.low, sum.low, _mm256_castsi256_ps(m.low)),
            _mm256_blendv_ps(c.high, sum.high, _mm256_castsi256_ps(m.high))};
  }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  static __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static __m256 scale(__m256 p, __m256 n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256 first_step = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(first_step, power_of_two(_mm256_sub_epi32(whole, half)));
  }
  static lanes scale_by_power(lanes p, lanes n) {
    return {scale(p.low, n.low), scale(p.high, n.high)};
  }
  static __m256 keep_nan(__m256 x, __m256 y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  static lanes keep_nan(lanes x, lanes y) {
    return {keep_nan(x.low, y.low), keep_nan(x.high, y.high)};
  }
  static __m256 rotate(__m256 x, __m256 cos_sin) {
    const __m256 c = _mm256_mul_ps(x, _mm256_moveldup_ps(cos_sin));
    const __m256 swapped = _mm256_permute_ps(x, 0xB1);
    return _mm256_addsub_ps(c, _mm256_mul_ps(swapped, _mm256_movehdup_ps(cos_sin)));
  }
  static lanes rotate(lanes x, lanes cos_sin) {
    return {rotate(x.low, cos_sin.low), rotate(x.high, cos_sin.high)};
  }

  /// Lanes l and l+8, l+4, l+2, l+1.
  static float fold(lanes a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  /// The same of four sums: each step folds two vectors into one.
  static void fold_four(const lanes* s, float* out) {
    const auto eight = [s](int i) { return _mm256_add_ps(s[i].low, s[i].high); };
    const auto four = [](__m256 a, __m256 b) {
      return _mm256_add_ps(_mm256_blend_ps(a, b, 0xF0), _mm256_permute2f128_ps(a, b, 0x21));
    };
    const __m256 ab = four(eight(0), eight(1));
    const __m256 cd = four(eight(2), eight(3));
    // Two lanes of a, c, b, d.
    const __m256 two =
        _mm256_add_ps(_mm256_blend_ps(ab, cd, 0xCC), _mm256_shuffle_ps(ab, cd, 0x4E));
    const __m256 one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
    const __m128 ac = _mm256_castps256_ps128(one);
    const __m128 bd = _mm256_extractf128_ps(one, 1);
    // a, b, c, d from lanes 0 and 2 of either.
    const __m128 pairs = _mm_shuffle_ps(ac, bd, 0x88);
    _mm_storeu_ps(out, _mm_shuffle_ps(pairs, pairs, 0xD8));
  }

  using exponents = __m256i;
  static exponents no_exponents() { return _mm256_setzero_si256(); }
  static __m256i magnitude(lanes a) {
    const __m256i bits = _mm256_set1_epi32(0x7FFFFFFF);
    return _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(a.low), bits),
                            _mm256_and_si256(_mm256_castps_si256(a.high), bits));
  }
  static exponents join(exponents seen, lanes a) { return _mm256_max_epi32(seen, magnitude(a)); }
  static bool all_finite(exponents seen) {
    const __m256i bad = _mm256_cmpgt_epi32(seen, _mm256_set1_epi32(0x7F7FFFFF));
    return _mm256_testz_si256(bad, bad) != 0;
  }

  /// The largest magnitude of 32, or infinity when one of them is not finite.
  static float largest_of_32(const float* x) {
    const __m256i eight = _mm256_max_epi32(magnitude(load(x)), magnitude(load(x + 16)));
    const __m128i four =
        _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    const std::int32_t most = _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
    return most < 0x7F800000 ? _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(most)))
                             : __builtin_inff();
  }
  /// q = rne(x / step) within +-127; returns the sum.
  static std::int32_t quantize_32(const float* x, float step, std::int8_t* q) {
    const __m256i most = _mm256_set1_epi32(127);
    const __m256i least = _mm256_set1_epi32(-127);
    __m256i sum = _mm256_setzero_si256();
    for (int part = 0; part < 4; ++part) {
      const __m256 quotient = _mm256_div_ps(_mm256_loadu_ps(x + 8 * part), _mm256_set1_ps(step));
      const __m256i rounded =
          _mm256_max_epi32(_mm256_min_epi32(_mm256_cvtps_epi32(quotient), most), least);
      sum = _mm256_add_epi32(sum, rounded);
      const __m128i words =
          _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(q + 8 * part), _mm_packs_epi16(words, words));
    }
    const __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
  }
  static void remainder_32(const float* x, float step, const std::int8_t* q, float* out) {
    for (int part = 0; part < 4; ++part) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q + 8 * part));
      const __m256 whole = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
      _mm256_storeu_ps(out + 8 * part, _mm256_fnmadd_ps(whole, _mm256_set1_ps(step),
                                                        _mm256_loadu_ps(x + 8 * part)));
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

} // namespace ovir::compute::avx2

#endif
