// The operations of learn-1 on AVX2: sixteen lanes in two registers.
#if defined(__x86_64__)

#include "compute/kernels/x86/intrinsics.hpp"
#include "learning/kernels/x86/steps.hpp"

namespace ovir::learning::avx2 {

namespace {

struct lanes {
  __m256 low;
  __m256 high;

  static constexpr int tile_rows = 6; // 12 sums, 2 columns and a row's element: 15 of 16 registers
  static constexpr int tile_wide = 1;

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
  static lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static lanes load_some(const float* p, std::uint32_t n) {
    const mask m = first(n);
    return {_mm256_maskload_ps(p, m.low), _mm256_maskload_ps(p + 8, m.high)};
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
  static __m256 scaled(__m256 p, __m256 n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256 first_step = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(first_step, power_of_two(_mm256_sub_epi32(whole, half)));
  }
  static lanes scale_by_power(lanes p, lanes n) {
    return {scaled(p.low, n.low), scaled(p.high, n.high)};
  }
  static __m256 keep_nan_part(__m256 x, __m256 y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  static lanes keep_nan(lanes x, lanes y) {
    return {keep_nan_part(x.low, y.low), keep_nan_part(x.high, y.high)};
  }
  /// Lanes l and l+8, l+4, l+2, l+1.
  static float fold(lanes a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

} // namespace

const learn_kernels* kernels() noexcept { return &x86::set_of<lanes>; }

} // namespace ovir::learning::avx2

#else

#include "learning/kernels/kernels.hpp"

namespace ovir::learning::avx2 {
const learn_kernels* kernels() noexcept { return nullptr; }
} // namespace ovir::learning::avx2

#endif
