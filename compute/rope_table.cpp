#include "compute/exact_math.hpp"
#include "compute/segment.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// Rows are made this many at a time, so that decoding rarely pays for one.
constexpr position rows_per_block = 256;

} // namespace

rope_table::rope_table(const model_config& config, std::span<const float> factors) {
  const std::uint32_t pairs = config.rope_dim / 2;
  OVIR_CHECK(factors.empty() || factors.size() == pairs, factors.size(), pairs);
  frequencies_.resize(pairs);
  for (std::uint32_t i = 0; i < pairs; ++i) {
    // f_i = base^-(2i / d), the quotient in binary64, each from scratch (exact-1, section 5).
    const double exponent = -(static_cast<double>(2 * i) / static_cast<double>(config.rope_dim));
    frequencies_[i] = exact_pow(config.rope_base, exponent);
    if (!factors.empty()) {
      frequencies_[i] /= static_cast<double>(factors[i]);
    }
  }
}

void rope_table::grow(position n) {
  if (n <= made_) {
    return;
  }
  const position target = (n + rows_per_block - 1) / rows_per_block * rows_per_block;
  rows_.resize(std::size_t{target} * frequencies_.size() * 2);
  float* out = rows_.data() + std::size_t{made_} * frequencies_.size() * 2;
  for (position p = made_; p < target; ++p) {
    for (const double frequency : frequencies_) {
      const cos_sin c = exact_cos_sin(static_cast<double>(p) * frequency);
      *out++ = c.cos;
      *out++ = c.sin;
    }
  }
  made_ = target;
}

const float* rope_table::row(position p) const {
  OVIR_CHECK(p < made_, p, made_);
  return rows_.data() + std::size_t{p} * frequencies_.size() * 2;
}

} // namespace ovir::compute
