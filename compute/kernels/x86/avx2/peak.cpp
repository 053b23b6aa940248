#include "compute/kernels/x86/peak_loops.hpp"

#if defined(__x86_64__)

#include "compute/kernels/x86/intrinsics.hpp"

namespace ovir::compute::avx2 {

namespace {

constexpr int accumulators = 8; // with their products they fit the sixteen registers
constexpr std::size_t line = 32;

__m256i loaded(const unsigned char* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

std::uint64_t total(__m256i v) {
  alignas(line) std::uint64_t words[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), v);
  return words[0] + words[1] + words[2] + words[3];
}

} // namespace

std::uint64_t peak_read(const unsigned char* bytes, std::size_t count) {
  __m256i a = _mm256_setzero_si256();
  __m256i b = a;
  __m256i c = a;
  __m256i d = a;
  std::size_t at = 0;
  for (; count - at >= 4 * line; at += 4 * line) {
    a = _mm256_add_epi64(a, loaded(bytes + at));
    b = _mm256_add_epi64(b, loaded(bytes + at + line));
    c = _mm256_add_epi64(c, loaded(bytes + at + 2 * line));
    d = _mm256_add_epi64(d, loaded(bytes + at + 3 * line));
  }
  std::uint64_t sum = 0;
  for (; at < count; ++at) {
    sum += bytes[at];
  }
  return sum + total(_mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)));
}

// Bytes to 16 bits, pairs of these to 32, added: the shortest way without VNNI that cannot overflow
// for the weights that are multiplied so.
std::uint64_t peak_multiply(std::uint64_t rounds) {
  __m256i sums[accumulators];
  for (int i = 0; i < accumulators; ++i) {
    sums[i] = _mm256_set1_epi32(i);
  }
  __m256i x = _mm256_set1_epi8(3);
  const __m256i y = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::uint64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (int i = 0; i < accumulators; ++i) {
      asm volatile("" : "+x"(x)); // or the product would be computed once, before the loop
      const __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones);
      sums[i] = _mm256_add_epi32(sums[i], product);
    }
  }
  __m256i all = sums[0];
  for (int i = 1; i < accumulators; ++i) {
    all = _mm256_add_epi32(all, sums[i]);
  }
  return total(all);
}

} // namespace ovir::compute::avx2

#endif
