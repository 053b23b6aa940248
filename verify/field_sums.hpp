#pragma once

#include <cstddef>
#include <cstdint>

/// Weighted sums of integers over the tokens of a check: where its time goes. All sums are exact,
/// and the same in every set.
namespace ovir::compute {

/// An S of at most 60 bits is its low 32 bits and what is above, so that eight tokens weighed by 28
/// bits stay within 64.
inline constexpr unsigned sum_split_bits = 32;
inline constexpr std::size_t weighed_tokens_max = 32;
inline constexpr unsigned token_weight_bits = 28; ///< weights are in [0, 2^28)

/// Revealed integers to be weighed over at most `weighed_tokens_max` tokens.
struct sums_task {
  const std::int64_t* s{nullptr};       ///< [tokens][stride], of which `n` columns count
  std::size_t stride{0};                ///< columns between two tokens
  std::size_t n{0};                     ///< columns
  std::size_t tokens{0};                ///< at most `weighed_tokens_max`
  const std::uint64_t* bounds{nullptr}; ///< [n], below 2^60
  const std::int64_t* weights{nullptr}; ///< [tokens]
  float* rounded{nullptr};              ///< [tokens][stride]; null: nothing is rounded
  const float* powers{nullptr};         ///< [tokens], of two: what a rounded S is multiplied by
};

struct field_sums {
  /// total_i = the sum over tokens of weight_t * S_ti modulo 2^61 - 1, below 2^62 in magnitude, and
  /// rounded_ti = fl(S_ti) * power_t, rounded once as exact-1 does: one pass over S. False when
  /// some |S| is above its column's bound; what is written is then unspecified.
  bool (*add_sums)(const sums_task& task, std::int64_t* total);
  /// y_i = fl(S_i) * power, for integers that are not checked. Precondition: power is one of two.
  void (*round)(const std::int64_t* s, std::size_t n, float power, float* y);
  /// out_i = the sum over tokens of weight_t * q_ti * scales_t[i / 32], with `q` [tokens][n] and
  /// `scales` [tokens][n / 32]; n is a multiple of 32. A scale is m * k: below 2^18.
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
