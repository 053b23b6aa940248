#pragma once

#include <cstdint>

/// The functions exact-1 needs beyond + - * / sqrt, from binary32 and binary64 operations alone:
/// constants and order of evaluation are part of the profile (docs/formats/exact-1.md).
namespace ovir::compute {

__extension__ typedef __int128 int128; // not ISO C++; the keyword keeps -Wpedantic quiet

/// e^x, binary32. NaN stays; x > 88.8 gives +inf; x < -104 gives +0.
[[nodiscard]] float exact_exp(float x) noexcept;

/// x / (1 + exp(-x)).
[[nodiscard]] float exact_silu(float x) noexcept;

/// tanh by sign and exp(-2|x|).
[[nodiscard]] float exact_tanh(float x) noexcept;

/// cap * tanh(x / cap), for cap > 0.
[[nodiscard]] float exact_soft_cap(float x, float cap) noexcept;

/// x / 2 * (1 + tanh(sqrt(2 / pi) * x * (1 + 0.044715 * x^2))), in the order exact-1 gives.
[[nodiscard]] float exact_gelu(float x) noexcept;

/// ln(x) in binary64, for x > 0: with less than a unit in its last place wrong.
[[nodiscard]] double exact_log(double x) noexcept;

/// base^exponent in binary64, for base > 0 and results within [2^-1000, 2^1000].
[[nodiscard]] double exact_pow(double base, double exponent) noexcept;

/// cos and sin of `angle` (radians, |angle| < 2^31), each rounded to binary32.
struct cos_sin {
  float cos;
  float sin;
};
[[nodiscard]] cos_sin exact_cos_sin(double angle) noexcept;

/// fp16 and bf16 bits to binary32, exactly.
[[nodiscard]] float half_to_float(std::uint16_t bits) noexcept;
[[nodiscard]] float bfloat_to_float(std::uint16_t bits) noexcept;
/// Nearest even. Overflow gives an infinity, which callers treat as an error.
[[nodiscard]] std::uint16_t float_to_half(float x) noexcept;

/// A finite fp16 as its integer multiple of 2^-24. Precondition: exponent field below 31.
[[nodiscard]] std::int64_t half_to_fixed24(std::uint16_t bits) noexcept;

/// z rounded once to binary32, ties to even.
[[nodiscard]] float round_to_float(std::int64_t z) noexcept;
[[nodiscard]] float round_to_float_wide(int128 z) noexcept;

} // namespace ovir::compute
