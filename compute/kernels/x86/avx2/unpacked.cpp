// Products with rows that unpacked_rows.hpp made, for both sets of fast kernels: 32 weights at a
// time, and sums that stay in lanes until the end of a row.
#if defined(__x86_64__)

#include "compute/kernels/x86/intrinsics.hpp"
#include "compute/kernels/x86/kernels.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr std::size_t head_bytes = 8; ///< D and M
constexpr std::uint32_t superblock = 256;

std::int32_t load_dword(const unsigned char* p) {
  std::int32_t value = 0;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

__m256i load_32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// Four products a lane. |w| and |q| are at most 127, so pairs of them fit 16 bits.
__m256i dot_of(__m256i w, __m256i q) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/// Sums of four a lane.
__m256i sums_of(__m256i q) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/// The odd lanes where the even ones were.
__m256i odd(__m256i v) { return _mm256_srli_epi64(v, 32); }

/// sum + lanes * factor, all lanes widened to 64 bits.
__m256i add_scaled(__m256i sum, __m256i lanes, std::int32_t factor) {
  const __m256i f = _mm256_set1_epi32(factor);
  sum = _mm256_add_epi64(sum, _mm256_mul_epi32(lanes, f));
  return _mm256_add_epi64(sum, _mm256_mul_epi32(odd(lanes), f));
}

std::int64_t sum_of_lanes(__m256i v) {
  const __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  return _mm_extract_epi64(pair, 0) + _mm_extract_epi64(pair, 1);
}

/// One row times one token, blocks of 32.
struct by_32 {
  static std::int64_t product(const unsigned char* row, const x86::batch_view& x,
                              std::uint32_t token) {
    const std::int8_t* q = x.q + std::size_t{token} * x.cols;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales;
    const std::int32_t* sum = x.sum + std::size_t{token} * (x.cols / 32);
    __m256i total = _mm256_setzero_si256();
    std::int64_t mins = 0;
    for (std::uint32_t b = 0; b < x.cols / 32; ++b, row += head_bytes + 32, q += 32) {
      // A lane is at most 4 * 127^2 * 4095 < 2^28.
      const __m256i lanes = _mm256_mullo_epi32(dot_of(load_32(row + head_bytes), load_32(q)),
                                               _mm256_set1_epi32(k[b]));
      total = add_scaled(total, lanes, load_dword(row));
      mins += std::int64_t{load_dword(row + 4)} * (k[b] * sum[b]);
    }
    return sum_of_lanes(total) - mins;
  }
};

/// Two factors, each for the lanes of 16 elements.
__m256i halves(std::int32_t low, std::int32_t high) {
  return _mm256_set_m128i(_mm_set1_epi32(high), _mm_set1_epi32(low));
}

/// One row times one token, superblocks of 256.
struct by_256 {
  static std::int64_t product(const unsigned char* row, const x86::batch_view& x,
                              std::uint32_t token) {
    const std::int8_t* q = x.q + std::size_t{token} * x.cols;
    const std::int32_t* k = x.k + std::size_t{token} * x.scales;
    const std::int32_t* m = x.m + std::size_t{token} * (x.cols / 32);
    __m256i total = _mm256_setzero_si256();
    for (std::uint32_t b = 0; b < x.cols / superblock; ++b, m += 8, q += superblock) {
      const std::int32_t min_scale = load_dword(row + 4);
      const auto* scale = reinterpret_cast<const signed char*>(row + head_bytes);
      const signed char* min = scale + 16;
      const unsigned char* w = row + head_bytes + 32;
      // A lane of one group is at most 4 * 127^2 * 32 * 63 (IQ4_XS) or 4 * 31 * 127 * 63 * 63
      // (Q5_K), so the eight of a superblock stay below 2^31.
      __m256i lanes = _mm256_setzero_si256();
      for (std::uint32_t j = 0; j < 8; ++j) {
        const __m256i factor = halves(scale[2 * j] * m[j], scale[2 * j + 1] * m[j]);
        const __m256i dot = dot_of(load_32(w + 32 * j), load_32(q + 32 * j));
        lanes = _mm256_add_epi32(lanes, _mm256_mullo_epi32(dot, factor));
      }
      total = add_scaled(total, lanes, load_dword(row) * k[b]); // |D| < 2^19, k < 2^12
      if (min_scale != 0) {
        __m256i mins = _mm256_setzero_si256();
        for (std::uint32_t j = 0; j < 8; ++j) {
          const __m256i factor = halves(min[2 * j] * m[j], min[2 * j + 1] * m[j]);
          mins = _mm256_add_epi32(mins, _mm256_mullo_epi32(sums_of(load_32(q + 32 * j)), factor));
        }
        total = add_scaled(total, mins, -(min_scale * k[b]));
      }
      row += head_bytes + 32 + superblock;
    }
    return sum_of_lanes(total);
  }
};

template <class Form>
void product_of(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
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

void product_unpacked_32(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                         const x86::batch_view& x, float* y, std::size_t y_stride) {
  product_of<by_32>(w, first, last, x, y, y_stride);
}

void product_unpacked_256(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                          const x86::batch_view& x, float* y, std::size_t y_stride) {
  product_of<by_256>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
