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
  /// low_i += weight * (S_i's low 30 bits), high_i += weight * (S_i >> 30). False when some |S_i|
  /// is above its bound; the sums are then unspecified.
  bool (*add_sums)(const std::int64_t* s, const std::uint64_t* bounds, std::size_t n,
                   std::int64_t weight, std::int64_t* low, std::int64_t* high);
  /// y_i = fl(S_i) * power: rounded once, as exact-1 does. Precondition: power is one of two.
  void (*round)(const std::int64_t* s, std::size_t n, float power, float* y);
  /// out_i += weight * q_i * scales[i / 32], over n elements, a multiple of 32. A scale is m * k.
  void (*add_inputs)(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                     std::int64_t weight, std::int64_t* out);
};

/// The fastest that this processor has.
[[nodiscard]] const field_sums& field_sums_here() noexcept;
[[nodiscard]] const field_sums& field_sums_plain() noexcept;
/// Null where this build has none.
[[nodiscard]] const field_sums* field_sums_avx2() noexcept;
[[nodiscard]] const field_sums* field_sums_avx512() noexcept;

} // namespace ovir::compute
