#include "compute/kernels/x86/peak_loops.hpp"

#if defined(__x86_64__)

#include "compute/kernels/x86/intrinsics.hpp"

#include <numeric>

namespace ovir::compute::avx512 {

namespace {
constexpr int accumulators = 12; // enough to hide the latency of vpdpbusd on two ports
constexpr std::size_t line = 64;
} // namespace

std::uint64_t peak_read(const unsigned char* bytes, std::size_t count) {
  __m512i a = _mm512_setzero_si512();
  __m512i b = a;
  __m512i c = a;
  __m512i d = a;
  std::size_t at = 0;
  for (; count - at >= 4 * line; at += 4 * line) {
    a = _mm512_add_epi64(a, _mm512_loadu_si512(bytes + at));
    b = _mm512_add_epi64(b, _mm512_loadu_si512(bytes + at + line));
    c = _mm512_add_epi64(c, _mm512_loadu_si512(bytes + at + 2 * line));
    d = _mm512_add_epi64(d, _mm512_loadu_si512(bytes + at + 3 * line));
  }
  std::uint64_t sum = 0;
  for (; at < count; ++at) {
    sum += bytes[at];
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
  alignas(line) std::uint64_t lanes[8]; // GCC's reduction adds signed numbers, which may not wrap
  _mm512_store_si512(lanes, all);
  return std::accumulate(lanes, lanes + 8, sum);
}

std::uint64_t peak_multiply(std::uint64_t rounds) {
  __m512i sums[accumulators];
  for (int i = 0; i < accumulators; ++i) {
    sums[i] = _mm512_set1_epi32(i);
  }
  __m512i x = _mm512_set1_epi8(3);
  const __m512i y = _mm512_set1_epi8(5);
  for (std::uint64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < accumulators; ++i) {
      asm volatile("" : "+v"(x)); // or some products could be merged or moved out of the loop
      sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
    }
  }
  __m512i all = sums[0];
  for (int i = 1; i < accumulators; ++i) {
    all = _mm512_add_epi32(all, sums[i]);
  }
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi32(all));
}

} // namespace ovir::compute::avx512

#endif
