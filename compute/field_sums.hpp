#pragma once

#include <cstddef>
#include <cstdint>

/// Weighted sums of integers over the tokens of a check: where its time goes. All sums are exact,
/// and the same in every set.
namespace ovir::compute {

/// An S of at most 60 bits is its low 30 bits and what is above, so that 2^5 tokens weighed by 28
/// bits stay within 63.
inline constexpr unsigned sum_split_bits = 30;
inline constexpr std::size_t weighed_tokens_max = 32;
inline constexpr std::int64_t token_weight_max = std::int64_t{1} << 27U;

struct field_sums {
  /// Over the rows of `s`, [tokens][stride], of which the first `n` columns count:
  /// low_i += weight_t * (S_ti's low 30 bits), high_i += weight_t * (S_ti >> 30). False when some
  /// |S| is above its column's bound; the sums are then unspecified.
  bool (*add_sums)(const std::int64_t* s, std::size_t stride, std::size_t tokens,
                   const std::uint64_t* bounds, std::size_t n, const std::int64_t* weights,
                   std::int64_t* low, std::int64_t* high);
  /// low_i becomes low_i + high_i * 2^30 modulo 2^61 - 1, below 2^63 in magnitude. Precondition:
  /// both are sums over at most `weighed_tokens_max` tokens.
  void (*join)(std::int64_t* low, const std::int64_t* high, std::size_t n);
  /// y_i = fl(S_i) * power: rounded once, as exact-1 does. Precondition: power is one of two.
  void (*round)(const std::int64_t* s, std::size_t n, float power, float* y);
  /// out_i = the sum over tokens of weight_t * q_ti * scales_t[i / 32], with `q` [tokens][n] and
  /// `scales` [tokens][n / 32]; n is a multiple of 32. A scale is m * k.
  void (*weigh_inputs)(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                       std::size_t tokens, const std::int64_t* weights, std::int64_t* out);
};

/// The fastest that this processor has.
[[nodiscard]] const field_sums& field_sums_here() noexcept;
[[nodiscard]] const field_sums& field_sums_plain() noexcept;
/// Null where this build has none.
[[nodiscard]] const field_sums* field_sums_avx2() noexcept;
[[nodiscard]] const field_sums* field_sums_avx512() noexcept;

} // namespace ovir::compute
