#include "compute/kernels/x86/intrinsics.hpp"
#include "verify/field_lanes.hpp"
#include "verify/field_sums.hpp"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
namespace ovir::compute {
namespace {

constexpr std::size_t rows_together = 8;

inline __m512i in_register(eight v) {
  __m512i x;
  std::memcpy(&x, &v, sizeof(x));
  return x;
}
inline eight in_lanes(__m512i x) {
  eight v;
  std::memcpy(&v, &x, sizeof(v));
  return v;
}
/// a * b of the signed low halves of each lane.
inline eight times(eight a, eight b) {
  return in_lanes(_mm512_mul_epi32(in_register(a), in_register(b)));
}
/// a * b of the low halves of each lane, as numbers without a sign.
inline eight times_natural(eight a, eight b) {
  return in_lanes(_mm512_mul_epu32(in_register(a), in_register(b)));
}
/// The largest magnitude of a column so far. That of the least number is 2^63, which is the largest
/// without a sign.
inline eight watch(eight seen, eight sum, eight /*bound*/) {
  return in_lanes(_mm512_max_epu64(in_register(seen), _mm512_abs_epi64(in_register(sum))));
}
/// Negative where it is above its bound.
inline eight outside(eight seen, eight bound) {
  return in_lanes(_mm512_sub_epi64(in_register(bound), in_register(seen)));
}

constexpr std::size_t digits = 3; ///< of 16 bits with a sign: a weight times a scale has 46

/// Digit i of the products of two tokens' weights with the scales of a block, the first token's
/// below: what `vpdpwssd` multiplies a column's two numbers by.
struct digit_pairs {
  std::uint32_t of[digits];
};

/// Of eight blocks of one token: its digits in the low 16 bits of each lane, what is above is
/// noise.
inline void digits_of(__m256i scales, __m512i weight, __m512i* out) {
  const __m512i half = _mm512_set1_epi64(1 << 15);
  __m512i rest = _mm512_mul_epu32(_mm512_cvtepu32_epi64(scales), weight);
  for (std::size_t d = 0; d < digits; ++d) {
    out[d] = rest;
    // A digit with its top bit set counts as itself less 2^16: the next has one more.
    rest = _mm512_srli_epi64(_mm512_add_epi64(rest, half), 16);
  }
}

/// The digits of tokens `t` and `t + 1` for all blocks; those of a token behind the last are zero.
void pair_digits(const std::int32_t* scales, std::size_t blocks, std::size_t stride, std::size_t t,
                 std::size_t tokens, const std::int64_t* weights, digit_pairs* pairs) {
  const bool both = t + 1 < tokens;
  const __m512i low = _mm512_set1_epi64(0xffff);
  const __m512i weight[2] = {_mm512_set1_epi64(weights[t]),
                             _mm512_set1_epi64(both ? weights[t + 1] : 0)};
  const std::int32_t* const rows[2] = {scales + t * stride, scales + (both ? t + 1 : t) * stride};
  for (std::size_t b = 0; b < blocks; b += 8) {
    const std::size_t count = std::min<std::size_t>(8, blocks - b);
    const auto some = static_cast<__mmask8>((1U << count) - 1);
    __m512i found[2][digits];
    for (std::size_t of = 0; of < 2; ++of) {
      digits_of(_mm256_maskz_loadu_epi32(some, rows[of] + b), weight[of], found[of]);
    }
    for (std::size_t d = 0; d < digits; ++d) {
      const __m512i joined =
          _mm512_or_si512(_mm512_and_si512(found[0][d], low), _mm512_slli_epi64(found[1][d], 16));
      alignas(32) std::uint32_t words[8];
      _mm256_store_si256(reinterpret_cast<__m256i*>(words), _mm512_cvtepi64_epi32(joined));
      for (std::size_t i = 0; i < count; ++i) {
        pairs[b + i].of[d] = words[i];
      }
    }
  }
}

/// 32 numbers of 8 bits as numbers of 16.
inline __m512i widened(const std::int8_t* q) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
}

/// Joins the digits' sums of 16 columns into 64 bits each.
inline void join_columns(const __m512i* sums, std::int64_t* out) {
  for (int part = 0; part < 2; ++part) {
    std::int64_t* const to = out + static_cast<std::ptrdiff_t>(part) * 8;
    __m512i total = _mm512_setzero_si512();
    for (std::size_t d = 0; d < digits; ++d) {
      const __m256i eight_sums =
          part == 0 ? _mm512_castsi512_si256(sums[d]) : _mm512_extracti64x4_epi64(sums[d], 1);
      total = _mm512_add_epi64(total, _mm512_slli_epi64(_mm512_cvtepi32_epi64(eight_sums),
                                                        static_cast<unsigned>(16 * d)));
    }
    _mm512_storeu_si512(to, total);
  }
}

/// Columns of 16 bits beside those of the next token, in their order again: what was unpacked
/// within 128 bits is eight columns apart.
inline void join_block(const __m512i* low, const __m512i* high, std::int64_t* out) {
  const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
  const __m512i second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  __m512i ordered[2][digits];
  for (std::size_t d = 0; d < digits; ++d) {
    ordered[0][d] = _mm512_permutex2var_epi64(low[d], first, high[d]);
    ordered[1][d] = _mm512_permutex2var_epi64(low[d], second, high[d]);
  }
  join_columns(ordered[0], out);
  join_columns(ordered[1], out + 16);
}

constexpr std::size_t blocks_at_once = 16;

/// Sums of `digits` products of 7 and 15 bits over 32 tokens stay within 28 bits.
void weigh_inputs(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                  std::size_t tokens, const std::int64_t* weights, std::int64_t* out) {
  const std::size_t blocks = n / 32;
  for (std::size_t from = 0; from < blocks; from += blocks_at_once) {
    const std::size_t count = std::min(blocks_at_once, blocks - from);
    digit_pairs pairs[weighed_tokens_max / 2][blocks_at_once];
    for (std::size_t t = 0; t < tokens; t += 2) {
      pair_digits(scales + from, count, blocks, t, tokens, weights, pairs[t / 2]);
    }
    for (std::size_t b = 0; b < count; ++b) {
      __m512i low[digits] = {};
      __m512i high[digits] = {};
      for (std::size_t t = 0; t < tokens; t += 2) {
        const std::int8_t* const at = q + t * n + (from + b) * 32;
        const __m512i one = widened(at);
        const __m512i other = widened(t + 1 < tokens ? at + n : at); // beside weights of zero
        const __m512i below = _mm512_unpacklo_epi16(one, other);
        const __m512i above = _mm512_unpackhi_epi16(one, other);
        for (std::size_t d = 0; d < digits; ++d) {
          const __m512i by = _mm512_set1_epi32(static_cast<int>(pairs[t / 2][b].of[d]));
          low[d] = _mm512_dpwssd_epi32(low[d], below, by);
          high[d] = _mm512_dpwssd_epi32(high[d], above, by);
        }
      }
      join_block(low, high, out + (from + b) * 32);
    }
  }
}

} // namespace
} // namespace ovir::compute

#include "verify/field_sums_loops.hpp"
#endif

namespace ovir::compute {

#if defined(__x86_64__)
namespace {
constexpr field_sums these_sums{add_sums, round, weigh_inputs};
} // namespace
const field_sums* field_sums_avx512() noexcept { return &these_sums; }
#else
const field_sums* field_sums_avx512() noexcept { return nullptr; }
#endif

} // namespace ovir::compute
