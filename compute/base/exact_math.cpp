#include "compute/base/exact_math.hpp"

#include "compute/base/exact_constants.hpp"

#include <bit>
#include <cmath>
#include <cstddef>

namespace ovir::compute {

namespace {

/// A binary64 value as an unevaluated sum; |low| is at most half a unit of high's last place.
struct double_pair {
  double high;
  double low;
};

/// a + b exactly. Precondition: a is 0 or |a| >= |b|.
double_pair sum_ordered(double a, double b) noexcept {
  const double s = a + b;
  return {s, b - (s - a)};
}

/// a + b exactly, for any a and b.
double_pair sum_of(double a, double b) noexcept {
  const double s = a + b;
  const double t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

double_pair product_of(double a, double b) noexcept {
  const double p = a * b;
  return {p, std::fma(a, b, -p)};
}

double nearest_integer(double x) noexcept {
  return (x + exact::round_binary64) - exact::round_binary64;
}

template <class T, std::size_t N>
T horner(const std::array<T, N>& coefficients, T x) noexcept {
  T p = coefficients[0];
  for (std::size_t i = 1; i < N; ++i) {
    p = std::fma(p, x, coefficients[i]);
  }
  return p;
}

/// 2^n for normal results.
float power_of_two_float(std::int32_t n) noexcept { return std::bit_cast<float>((n + 127) << 23); }

double power_of_two_double(std::int64_t n) noexcept {
  return std::bit_cast<double>((n + 1023) << 52);
}

/// log2(x) with about 2^-58 relative error; x > 0.
double_pair log2_of(double x) noexcept {
  constexpr std::uint64_t mantissa_mask = (std::uint64_t{1} << 52) - 1;
  std::int64_t exponent = 0;
  if (x < 0x1p-1022) {
    x *= exact::subnormal_lift;
    exponent = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<std::int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & mantissa_mask) | std::bit_cast<std::uint64_t>(1.0));
  if (m >= exact::log2_split) {
    m *= 0.5;
    exponent += 1;
  }

  const double f = m - 1.0; // exact
  const double_pair g = sum_of(m, 1.0);
  const double s = f / g.high;
  const double s_low = (std::fma(-s, g.high, f) - s * g.low) / g.high;
  const double z = s * s;
  const double tail = horner(exact::log2_coefficients, z);

  const double_pair lead = product_of(s, exact::log2_scale_high);
  double low = std::fma(s, exact::log2_scale_low, lead.low);
  low = std::fma(s_low, exact::log2_scale_high, low);
  low = std::fma(s * z, tail, low);
  const double_pair whole = sum_ordered(static_cast<double>(exponent), lead.high);
  return sum_ordered(whole.high, whole.low + low);
}

/// The binary32 nearest to x.high + x.low. The sum is first rounded to odd in binary64, which keeps
/// enough of the low part to decide ties of the second rounding correctly.
float narrow(double high, double low) noexcept {
  const double_pair s = sum_ordered(high, low);
  auto bits = std::bit_cast<std::uint64_t>(s.high);
  if (s.low != 0.0 && (bits & 1U) == 0) {
    bits = (s.low > 0) == (s.high > 0) ? bits + 1 : bits - 1;
  }
  return static_cast<float>(std::bit_cast<double>(bits));
}

/// angle - n * pi / 2, n the nearest integer to angle / (pi / 2).
double_pair reduce_by_half_pi(double angle, double n) noexcept {
  const double first = std::fma(n, -exact::half_pi_first, angle); // exact
  const double_pair p = product_of(n, exact::half_pi_second);
  const double_pair d = sum_of(first, -p.high);
  const double low = std::fma(n, -exact::half_pi_third, d.low - p.low);
  return sum_ordered(d.high, low);
}

float sin_of(double_pair r) noexcept {
  const double z = r.high * r.high;
  const double cube = z * r.high;
  const double slope = std::fma(z, -0.5, 1.0); // cos(r), roughly
  const double low = std::fma(cube, horner(exact::sin_coefficients, z), slope * r.low);
  return narrow(r.high, low);
}

float cos_of(double_pair r) noexcept {
  const double_pair z = product_of(r.high, r.high);
  const double_pair lead = sum_ordered(1.0, -0.5 * z.high);
  double low = std::fma(-r.high, r.low, lead.low - 0.5 * z.low);
  low = std::fma(z.high * z.high, horner(exact::cos_coefficients, z.high), low);
  return narrow(lead.high, low);
}

} // namespace

float exact_exp(float x) noexcept {
  // The order of these comparisons takes a NaN to a bound, so that the conversion below is defined.
  const float above = x > exact::exp_argument_min ? x : exact::exp_argument_min;
  const float c = above < exact::exp_argument_max ? above : exact::exp_argument_max;
  const float z = c * exact::exp_log2_e;
  const float n = (z + exact::exp_round) - exact::exp_round;
  float r = std::fma(n, -exact::exp_ln2_high, c);
  r = std::fma(n, -exact::exp_ln2_low, r);
  const float p = horner(exact::exp_coefficients, r);
  const auto whole = static_cast<std::int32_t>(n);
  const std::int32_t half = whole >> 1;
  const float y = p * power_of_two_float(half) * power_of_two_float(whole - half);
  return x != x ? x : y;
}

float exact_silu(float x) noexcept { return x / (1.0F + exact_exp(-x)); }

float exact_tanh(float x) noexcept {
  if (x != x) {
    return x;
  }
  constexpr std::uint32_t sign_bit = 0x80000000U;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const float magnitude = std::bit_cast<float>(bits & ~sign_bit);
  const float t = exact_exp(-2.0F * magnitude);
  const float y = (1.0F - t) / (1.0F + t);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) | (bits & sign_bit));
}

float exact_soft_cap(float x, float cap) noexcept { return cap * exact_tanh(x / cap); }

float exact_gelu(float x) noexcept {
  const float slope = 1.0F + (exact::gelu_cube * x) * x;
  const float t = exact_tanh((exact::gelu_root * x) * slope);
  return (0.5F * x) * (1.0F + t);
}

double exact_log(double x) noexcept {
  const double_pair l = log2_of(x);
  const double_pair p = product_of(l.high, exact::ln2);
  return p.high + std::fma(l.low, exact::ln2, std::fma(l.high, exact::ln2_rest, p.low));
}

double exact_pow(double base, double exponent) noexcept {
  const double_pair l = log2_of(base);
  const double_pair p = product_of(exponent, l.high);
  const double low = std::fma(exponent, l.low, p.low);
  const double n = nearest_integer(p.high);
  const double f = (p.high - n) + low;
  return horner(exact::exp2_coefficients, f) * power_of_two_double(static_cast<std::int64_t>(n));
}

cos_sin exact_cos_sin(double angle) noexcept {
  const double n = nearest_integer(angle * exact::two_over_pi);
  const double_pair r = reduce_by_half_pi(angle, n);
  const float s = sin_of(r);
  const float c = cos_of(r);
  switch (static_cast<std::int64_t>(n) & 3) {
  case 0: return {c, s};
  case 1: return {-s, c};
  case 2: return {-c, -s};
  default: return {s, -c};
  }
}

float half_to_float(std::uint16_t bits) noexcept {
  const auto sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const auto shifted = static_cast<std::uint32_t>(bits & 0x7FFFU) << 13U;
  // Read as binary32 the exponent is 112 too small; the product is exact and makes subnormals
  // normal on the way.
  const float rebiased = std::bit_cast<float>(shifted) * exact::half_rebias;
  auto out = std::bit_cast<std::uint32_t>(rebiased);
  if (rebiased >= exact::half_first_infinite) {
    const std::uint32_t payload = shifted & 0x007FFFFFU;
    out = 0x7F800000U | payload | (payload != 0 ? 0x00400000U : 0U);
  }
  return std::bit_cast<float>(out | sign);
}

float bfloat_to_float(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

std::uint16_t float_to_half(float x) noexcept {
  constexpr std::uint32_t infinity = 0x7F800000U;
  constexpr std::uint32_t overflow = 0x477FF000U;     // 65520, the tie that rounds to infinity
  constexpr std::uint32_t least_normal = 0x38800000U; // 2^-14
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits >> 16U) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t out = 0;
  if (magnitude > infinity) {
    out = 0x7E00U | ((magnitude >> 13U) & 0x03FFU);
  } else if (magnitude >= overflow) {
    out = 0x7C00U;
  } else if (magnitude >= least_normal) {
    const std::uint32_t odd = (magnitude >> 13U) & 1U;
    out = (magnitude - 0x38000000U + 0x0FFFU + odd) >> 13U;
  } else {
    // Adding 1/2 makes the adder round at 2^-24, the last place of a subnormal fp16.
    const float sum = std::bit_cast<float>(magnitude) + exact::half_subnormal_step;
    out = std::bit_cast<std::uint32_t>(sum) -
          std::bit_cast<std::uint32_t>(exact::half_subnormal_step);
  }
  return static_cast<std::uint16_t>(out | sign);
}

std::int64_t half_to_fixed24(std::uint16_t bits) noexcept {
  const auto exponent = static_cast<std::uint32_t>(bits >> 10U) & 31U;
  const auto fraction = static_cast<std::int64_t>(bits & 0x03FFU);
  const std::int64_t magnitude = exponent == 0 ? fraction : (fraction + 1024) << (exponent - 1);
  return (bits & 0x8000U) != 0 ? -magnitude : magnitude;
}

float round_to_float(std::int64_t z) noexcept {
  // One conversion instruction, one rounding. By way of double there would be two.
  return static_cast<float>(z);
}

float round_to_float_wide(int128 z) noexcept {
  __extension__ typedef unsigned __int128 magnitude_type;
  const bool negative = z < 0;
  const magnitude_type magnitude =
      negative ? -static_cast<magnitude_type>(z) : static_cast<magnitude_type>(z);
  const auto top = static_cast<std::uint64_t>(magnitude >> 64U);
  const auto bottom = static_cast<std::uint64_t>(magnitude);
  // Shift until 63 bits are left; a bit set below them stays visible in the last one, which lies
  // far below the 24 kept, so that the only rounding is the conversion's.
  const int shift = top != 0 ? 65 - std::countl_zero(top) : (bottom >> 63U != 0 ? 1 : 0);
  const magnitude_type dropped = magnitude & ((magnitude_type{1} << shift) - 1);
  const auto kept =
      static_cast<std::uint64_t>(magnitude >> shift) | std::uint64_t{dropped != 0 ? 1U : 0U};
  const float y = static_cast<float>(static_cast<std::int64_t>(kept)) * power_of_two_float(shift);
  return negative ? -y : y;
}

} // namespace ovir::compute
