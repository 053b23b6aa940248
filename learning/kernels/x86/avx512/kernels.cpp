// The operations of learn-1 on AVX-512: sixteen lanes in one register.
#if defined(__x86_64__)

#include "compute/kernels/x86/intrinsics.hpp"
#include "learning/kernels/x86/steps.hpp"

namespace ovir::learning::avx512 {

namespace {

struct lanes {
  __m512 v;

  static constexpr int tile_rows = 8; // 16 sums and 2 columns; a row's element is an operand
  static constexpr int tile_wide = 2;

  static __mmask16 first(std::uint32_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

  static lanes zero() { return {_mm512_setzero_ps()}; }
  static lanes all(float x) { return {_mm512_set1_ps(x)}; }
  static lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static lanes load_some(const float* p, std::uint32_t n) {
    return {_mm512_maskz_loadu_ps(first(n), p)};
  }
  static void store(float* p, lanes a) { _mm512_storeu_ps(p, a.v); }
  static void store_some(float* p, lanes a, std::uint32_t n) {
    _mm512_mask_storeu_ps(p, first(n), a.v);
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
  /// Lanes l and l+8, l+4, l+2, l+1.
  static float fold(lanes a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

} // namespace

const learn_kernels* kernels() noexcept { return &x86::set_of<lanes>; }

} // namespace ovir::learning::avx512

#else

#include "learning/kernels/kernels.hpp"

namespace ovir::learning::avx512 {
const learn_kernels* kernels() noexcept { return nullptr; }
} // namespace ovir::learning::avx512

#endif
