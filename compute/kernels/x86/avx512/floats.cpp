// The float operations of exact-1 on AVX-512: sixteen lanes in one register.
#if defined(__x86_64__)

#include "compute/kernels/x86/floats.hpp"

#include "compute/kernels/x86/attention.hpp"
#include "compute/kernels/x86/avx512/quantize.hpp"
#include "compute/kernels/x86/float_products.hpp"
#include "compute/kernels/x86/intrinsics.hpp"

namespace ovir::compute::avx512 {

namespace {

struct lanes {
  __m512 v;

  static constexpr int attend_heads = 4;
  static constexpr int attend_positions = 4;
  static constexpr int attend_blocks = 4;
  static constexpr int tile_rows = 4;
  static constexpr int tile_tokens = 4;
  static constexpr int packed_tile_rows = 8;
  static constexpr int packed_tile_tokens = 3;
  static constexpr int one_token_rows = 16;

  static constexpr int parts = 1;
  using part = lanes;

  static __mmask16 first(std::uint32_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

  static lanes zero() { return {_mm512_setzero_ps()}; }
  static lanes all(float x) { return {_mm512_set1_ps(x)}; }
  static lanes load(const void* p) { return {_mm512_loadu_ps(p)}; }
  static part zero_part() { return zero(); }
  static part load_part(const void* p, int /*i*/) { return load(p); }
  static part load_half_part(const void* p, int /*i*/) { return load_half(p); }
  static part load_bfloat_part(const void* p, int /*i*/) { return load_bfloat(p); }
  static part fma_part(part a, part b, part c) { return fma(a, b, c); }
  static lanes of_parts(const part (&p)[parts]) { return p[0]; }
  static lanes load_some(const void* p, std::uint32_t n) {
    return {_mm512_maskz_loadu_ps(first(n), p)};
  }
  static lanes load_half(const void* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static lanes load_half_some(const void* p, std::uint32_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p))};
  }
  static lanes from_bfloat(__m256i bits) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  static lanes load_bfloat(const void* p) {
    return from_bfloat(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static lanes load_bfloat_some(const void* p, std::uint32_t n) {
    return from_bfloat(_mm256_maskz_loadu_epi16(first(n), p));
  }
  static void store(float* p, lanes a) { _mm512_storeu_ps(p, a.v); }
  static void store_some(float* p, lanes a, std::uint32_t n) {
    _mm512_mask_storeu_ps(p, first(n), a.v);
  }
  static void store_half(std::uint16_t* p, lanes a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static lanes add(lanes a, lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
  static lanes sub(lanes a, lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static lanes mul(lanes a, lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static lanes div(lanes a, lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
  static lanes max(lanes a, lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
  static lanes min(lanes a, lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
  static lanes negate(lanes a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0F))}; }
  static lanes fma(lanes a, lanes b, lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  /// fma in the first n lanes; the others keep c.
  static lanes fma_some(lanes a, lanes b, lanes c, std::uint32_t n) {
    return {_mm512_mask3_fmadd_ps(a.v, b.v, c.v, first(n))};
  }
  static float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

  /// (p * 2^(n >> 1)) * 2^(n - (n >> 1)); only the second product can round, as in one vscalefps.
  static lanes scale_by_power(lanes p, lanes n) { return {_mm512_scalef_ps(p.v, n.v)}; }
  static lanes keep_nan(lanes x, lanes y) {
    const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
    return {_mm512_mask_mov_ps(y.v, nan, x.v)};
  }
  static lanes rotate(lanes x, lanes cos_sin) {
    const __m512 c = _mm512_mul_ps(x.v, _mm512_moveldup_ps(cos_sin.v));
    const __m512 swapped = _mm512_permute_ps(x.v, 0xB1);
    const __m512 s = _mm512_mul_ps(swapped, _mm512_movehdup_ps(cos_sin.v));
    return {_mm512_mask_sub_ps(_mm512_add_ps(s, c), 0x5555, c, s)};
  }

  /// Lanes l and l+8, l+4, l+2, l+1.
  static float fold(lanes a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  /// The same of four sums: each step folds two vectors into one.
  static void fold_four(const lanes* s, float* out) {
    const auto eight = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_mask_blend_ps(0xFF00, a, b), _mm512_shuffle_f32x4(a, b, 0x4E));
    };
    const __m512 ab = eight(s[0].v, s[1].v);
    const __m512 cd = eight(s[2].v, s[3].v);
    // Lanes of a, c, b, d.
    const __m512i halves =
        _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
    const __m512 four =
        _mm512_add_ps(_mm512_mask_blend_ps(0xF0F0, ab, cd), _mm512_permutex2var_ps(ab, halves, cd));
    const __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4E));
    const __m512 one = _mm512_add_ps(two, _mm512_movehdup_ps(two));
    const __m512i firsts = _mm512_setr_epi32(0, 8, 4, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, one)));
  }

  using exponents = __m512i;
  static exponents no_exponents() { return _mm512_setzero_si512(); }
  static __m512i magnitude(lanes a) {
    return _mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x7FFFFFFF));
  }
  static exponents join(exponents seen, lanes a) { return _mm512_max_epi32(seen, magnitude(a)); }
  static bool all_finite(exponents seen) {
    return _mm512_cmpge_epi32_mask(seen, _mm512_set1_epi32(0x7F800000)) == 0;
  }

  /// The largest magnitude of 32, or infinity when one of them is not finite.
  static float largest_of_32(const float* x) {
    const __m512i bits = _mm512_max_epi32(magnitude(load(x)), magnitude(load(x + 16)));
    const std::int32_t most = _mm512_reduce_max_epi32(bits);
    return most < 0x7F800000 ? _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(most)))
                             : __builtin_inff();
  }
  /// q = rne(x / step) within +-127; returns the sum.
  static std::int32_t quantize_32(const float* x, float step, std::int8_t* q) {
    const __m512i most = _mm512_set1_epi32(127);
    const __m512i least = _mm512_set1_epi32(-127);
    __m512i sum = _mm512_setzero_si512();
    for (int half = 0; half < 2; ++half) {
      const __m512 quotient = _mm512_div_ps(_mm512_loadu_ps(x + 16 * half), _mm512_set1_ps(step));
      const __m512i rounded =
          _mm512_max_epi32(_mm512_min_epi32(_mm512_cvtps_epi32(quotient), most), least);
      sum = _mm512_add_epi32(sum, rounded);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16 * half), _mm512_cvtepi32_epi8(rounded));
    }
    return _mm512_reduce_add_epi32(sum);
  }
  static void remainder_32(const float* x, float step, const std::int8_t* q, float* out) {
    for (int half = 0; half < 2; ++half) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + 16 * half));
      const __m512 whole = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
      _mm512_storeu_ps(out + 16 * half, _mm512_fnmadd_ps(whole, _mm512_set1_ps(step),
                                                         _mm512_loadu_ps(x + 16 * half)));
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

bool quantize(const float* x, const x86::quantized_row& out) { return quantize_row<lanes>(x, out); }
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

} // namespace ovir::compute::avx512

#endif
