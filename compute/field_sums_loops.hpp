#pragma once

#include "compute/field_sums.hpp"

/// The loops, for each set's own file: what is in no named namespace cannot be taken for another
/// instruction set's by the linker. Products wrap rather than overflow, as what a stranger reveals
/// may be anything.
namespace ovir::compute {

namespace {

bool add_sums(const std::int64_t* s, const std::uint64_t* bounds, std::size_t n,
              std::int64_t weight, std::int64_t* low, std::int64_t* high) {
  constexpr std::uint64_t mask = (std::uint64_t{1} << sum_split_bits) - 1;
  const auto w = static_cast<std::uint64_t>(weight);
  std::uint64_t outside = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto value = static_cast<std::uint64_t>(s[i]);
    const auto sign = static_cast<std::uint64_t>(s[i] >> 63U);
    const std::uint64_t magnitude = (value ^ sign) - sign;
    // Neither is above 2^63, so the difference's top bit says which is larger.
    outside |= bounds[i] - magnitude;
    low[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(low[i]) + (value & mask) * w);
    high[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(high[i]) +
                                        static_cast<std::uint64_t>(s[i] >> sum_split_bits) * w);
  }
  return (outside >> 63U) == 0;
}

void add_inputs(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                std::int64_t weight, std::int64_t* out) {
  for (std::size_t block = 0; block < n / 32; ++block) {
    const std::int64_t scaled = weight * scales[block];
    for (std::size_t i = block * 32; i < block * 32 + 32; ++i) {
      out[i] += scaled * q[i];
    }
  }
}

void round(const std::int64_t* s, std::size_t n, float power, float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(s[i]) * power; // a direct conversion: through double it rounds twice
  }
}

constexpr field_sums these_sums{add_sums, round, add_inputs};

} // namespace

} // namespace ovir::compute
