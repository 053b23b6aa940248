#pragma once

#if defined(__AVX2__) && defined(__F16C__)

#include "compute/kernels/x86/intrinsics.hpp"
#include "compute/kernels/x86/kernels.hpp"

/// What both instruction sets do in registers of 256 bits: loads, and products of rows as they are
/// in the file. Everything is private to the including file (docs/adr/0002-kernels.md).
namespace ovir::compute::x86 {
namespace {

/// Each odd 32-bit lane moved to the even lane below, where vpmuldq reads.
inline __m256i odd(__m256i x) { return _mm256_srli_epi64(x, 32); }

inline std::int32_t load_i32(const void* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline std::uint16_t load_u16(const unsigned char* p) {
  std::uint16_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline __m256i load_32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m128i load_16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

inline std::int64_t sum_of_lanes(__m256i x) {
  const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
}

/// Asks for the memory a row pass needs next; beyond the end of a mapping it does nothing.
template <int Lines>
inline void prefetch(const unsigned char* p) {
#pragma GCC unroll 8
  for (int i = 0; i < Lines; ++i) {
    _mm_prefetch(reinterpret_cast<const char*>(p + 4096 + 64 * i), _MM_HINT_T0);
  }
}

/// The eight scales (low 8 bytes) and eight mins (high 8 bytes) of a superblock, from its first 16
/// bytes: D and M, then three dwords. The low six bits of the first dword's bytes are sc_0..3, of
/// the second's mn_0..3; the third has four bits of sc_4..7 and of mn_4..7, whose upper two bits
/// are on top of the first and the second.
inline __m128i scales_and_mins(__m128i head) {
  const __m128i pairs = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0xA5), _mm_setr_epi32(0, 2, 0, 2));
  const __m128i fours = _mm_srlv_epi32(_mm_shuffle_epi32(head, 0xFF), _mm_setr_epi32(0, 0, 0, 4));
  const __m128i top =
      _mm_and_si128(pairs, _mm_setr_epi32(0x3F3F3F3F, 0x30303030, 0x3F3F3F3F, 0x30303030));
  return _mm_or_si128(top, _mm_and_si128(fours, _mm_setr_epi32(0, 0x0F0F0F0F, 0, 0x0F0F0F0F)));
}

/// Four low bits and, above them, two of Q6_K.
inline __m256i join(__m256i low_bits, __m256i high_bits) {
  return _mm256_or_si256(_mm256_and_si256(low_bits, _mm256_set1_epi8(15)),
                         _mm256_and_si256(high_bits, _mm256_set1_epi8(0x30)));
}

/// The sums of the lanes of eight vectors, in order.
inline __m256i sum_of_each(const __m256i (&v)[8]) {
  const __m256i first =
      _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i second =
      _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                          _mm256_permute2x128_si256(first, second, 0x31));
}

/// Products of up to eight consecutive blocks with q, a lane each.
template <class Format>
inline __m256i products_of_blocks(const unsigned char* data, std::uint32_t count,
                                  const std::int8_t* q) {
  __m256i dot[8];
  if (count == 8) {
#pragma GCC unroll 8
    for (std::uint32_t i = 0; i < 8; ++i) {
      dot[i] = Format::dot(data + i * Format::bytes + 2, load_32(q + i * 32));
    }
  } else {
    for (std::uint32_t i = 0; i < 8; ++i) {
      dot[i] = i < count ? Format::dot(data + i * Format::bytes + 2, load_32(q + i * 32))
                         : _mm256_setzero_si256();
    }
  }
  return sum_of_each(dot);
}

/// D of up to eight consecutive blocks of a row; zero beyond.
template <std::size_t BlockBytes>
inline __m256i block_scales(const unsigned char* data, std::uint32_t count) {
  __m128i halves = _mm_setzero_si128();
  if (count == 8) {
    const auto half = [data](std::size_t i) {
      return static_cast<short>(load_u16(data + i * BlockBytes));
    };
    halves = _mm_setr_epi16(half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7));
  } else {
    alignas(16) std::uint16_t some[8] = {};
    for (std::uint32_t i = 0; i < count; ++i) {
      some[i] = load_u16(data + i * BlockBytes);
    }
    halves = load_16(some);
  }
  const __m256 d = _mm256_cvtph_ps(halves);
  return _mm256_cvtps_epi32(_mm256_mul_ps(d, _mm256_set1_ps(0x1p24F)));
}

/// A row times `Tokens` tokens straight from its bytes, eight blocks at a time.
template <class Format, int Tokens>
inline void block_row(const unsigned char* data, const batch_view& x, std::uint32_t token,
                      std::int64_t (&sums)[Tokens]) {
  const std::uint32_t blocks = x.cols / 32;
  __m256i even[Tokens];
  __m256i odds[Tokens];
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    even[t] = _mm256_setzero_si256();
    odds[t] = _mm256_setzero_si256();
  }
  for (std::uint32_t b = 0; b < blocks; b += 8, data += 8 * Format::bytes) {
    const std::uint32_t count = blocks - b < 8 ? blocks - b : 8;
    prefetch<(8 * Format::bytes + 63) / 64>(data);
    const __m256i scale = block_scales<Format::bytes>(data, count);
    const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                                               _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t at = token + static_cast<std::size_t>(t);
      const __m256i products = products_of_blocks<Format>(data, count, x.q + at * x.cols + b * 32);
      const __m256i centred =
          Format::centred(products, _mm256_maskload_epi32(x.sum + at * blocks + b, present));
      // |dot * k| <= 2,130,186,240 fits 32 bits.
      const __m256i scaled =
          _mm256_mullo_epi32(centred, _mm256_maskload_epi32(x.k + at * blocks + b, present));
      even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(scaled, scale));
      odds[t] = _mm256_add_epi64(odds[t], _mm256_mul_epi32(odd(scaled), odd(scale)));
    }
  }
  for (int t = 0; t < Tokens; ++t) {
    sums[t] = sum_of_lanes(_mm256_add_epi64(even[t], odds[t]));
  }
}

} // namespace
} // namespace ovir::compute::x86

#endif
