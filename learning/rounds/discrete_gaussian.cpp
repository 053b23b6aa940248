#include "learning/rounds/discrete_gaussian.hpp"

#include "messages/limits/rounds.hpp"

#include <bit>

namespace ovir::learning {

namespace {

// Beyond it the square of algorithm 3 would not fit into 128 bits.
constexpr std::uint64_t laplace_max = std::uint64_t{1} << 41U;

std::uint32_t bits_of(uint128 x) {
  const auto high = static_cast<std::uint64_t>(x >> 64U);
  return static_cast<std::uint32_t>(high != 0 ? 64 + std::bit_width(high)
                                              : std::bit_width(static_cast<std::uint64_t>(x)));
}

// Algorithm 1 for numerator <= denominator: the first K at which a coin of probability
// (numerator / denominator) / K fails is odd.
bool drawn_small_exp(uint128 numerator, uint128 denominator, keystream& chance) {
  std::uint32_t k = 1;
  while (drawn_below(denominator * k, chance) < numerator) {
    ++k; // reaches 2^16 with a probability below 2^-900000
    OVIR_CHECK(k < (1U << 16U));
  }
  return k % 2 == 1;
}

// The integer below or at the root.
std::uint64_t root_of(std::uint64_t x) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 31U; bit != 0; bit >>= 1U) {
    const std::uint64_t next = root | bit;
    if (next * next <= x) {
      root = next;
    }
  }
  return root;
}

} // namespace

uint128 drawn_below(uint128 bound, keystream& chance) {
  OVIR_CHECK(bound != 0);
  const std::uint32_t bits = bits_of(bound - 1);
  while (true) { // at most half are drawn again
    uint128 x = 0;
    if (bits > 64) {
      x = static_cast<uint128>(chance.next() >> (128 - bits)) << 64U | chance.next();
    } else if (bits > 0) {
      x = chance.next() >> (64 - bits);
    }
    if (x < bound) {
      return x;
    }
  }
}

bool drawn_exp(uint128 numerator, uint128 denominator, keystream& chance) {
  OVIR_CHECK(denominator != 0 && bits_of(denominator) <= 112);
  for (uint128 whole = numerator / denominator; whole != 0; --whole) {
    if (!drawn_small_exp(1, 1, chance)) {
      return false;
    }
  }
  return drawn_small_exp(numerator % denominator, denominator, chance);
}

std::int64_t drawn_laplace(std::uint64_t scale, keystream& chance) {
  OVIR_CHECK(scale >= 1 && scale <= (std::uint64_t{1} << 21U), scale);
  while (true) {
    const auto part = static_cast<std::uint64_t>(drawn_below(scale, chance));
    if (!drawn_exp(part, scale, chance)) {
      continue;
    }
    std::uint64_t whole = 0;
    while (whole < laplace_max && drawn_small_exp(1, 1, chance)) {
      ++whole;
    }
    const auto size = static_cast<std::int64_t>(part + scale * whole);
    const bool below = drawn_below(2, chance) == 1;
    if (below && size == 0) {
      continue; // 0 has one sign
    }
    return below ? -size : size;
  }
}

result<std::int64_t> drawn_gaussian(std::uint64_t variance, keystream& chance) {
  OVIR_CHECK(variance >= 1 && variance <= limits::round_variance_max, variance);
  const std::uint64_t t = root_of(variance) + 1;
  while (true) {
    const std::int64_t y = drawn_laplace(t, chance);
    const auto size = static_cast<std::uint64_t>(y < 0 ? -y : y);
    if (size >= laplace_max) {
      return fail(errc::internal, "noise of a size that never comes was drawn");
    }
    // (|y| - variance / t)^2 / (2 variance) = (|y| t - variance)^2 / (2 variance t^2)
    const std::uint64_t product = size * t; // below 2^62
    const std::uint64_t apart = product > variance ? product - variance : variance - product;
    if (drawn_exp(static_cast<uint128>(apart) * apart, static_cast<uint128>(2 * variance) * t * t,
                  chance)) {
      return y;
    }
  }
}

} // namespace ovir::learning
