#include "compute/base/exact_math.hpp"
#include "compute/forward/segment.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ovir::compute {

namespace {

/// Rows are made this many at a time, so that decoding rarely pays for one.
constexpr position rows_per_block = 256;

/// f_i = base^-(2i / d), the quotient in binary64, each from scratch (exact-1, section 4).
std::vector<double> frequencies(double base, std::uint32_t dim) {
  std::vector<double> out(dim / 2);
  for (std::uint32_t i = 0; i < dim / 2; ++i) {
    out[i] = exact_pow(base, -(static_cast<double>(2 * i) / static_cast<double>(dim)));
  }
  return out;
}

/// The pair, as a real number, that makes `turns` turns within the positions of first training.
double pair_of_turns(const model_config& c, double turns) {
  const double positions = c.rope.original_context / (turns * 2 * std::numbers::pi);
  return static_cast<double>(c.rope_dim) * exact_log(positions) / (2 * exact_log(c.rope_base));
}

} // namespace

rope_table::rope_table(const model_config& config, std::span<const float> factors)
    : frequencies_(frequencies(config.rope_base, config.rope_dim)) {
  const std::uint32_t pairs = config.rope_dim / 2;
  OVIR_CHECK(factors.empty() || factors.size() == pairs, factors.size(), pairs);
  for (std::uint32_t i = 0; i < factors.size(); ++i) {
    frequencies_[i] /= static_cast<double>(factors[i]);
  }
  scale(config);
}

rope_table rope_table::of_windows(const model_config& config) {
  rope_table table;
  table.frequencies_ = frequencies(config.window_rope_base, config.rope_dim);
  return table;
}

// Exact-1, section 4. YaRN (arXiv:2309.00071): pairs that turn often keep their frequency, those
// that hardly turn are divided by the factor, and a ramp lies between.
void rope_table::scale(const model_config& config) {
  const double factor = config.rope.factor;
  switch (config.rope.how) {
  case rope_scaling::kind::none: return;
  case rope_scaling::kind::linear:
    for (double& f : frequencies_) {
      f /= factor;
    }
    return;
  case rope_scaling::kind::yarn: break;
  }
  const double last = static_cast<double>(config.rope_dim) - 1;
  const double low = std::max(0.0, std::floor(pair_of_turns(config, config.rope.beta_fast)));
  const double high = std::min(last, std::ceil(pair_of_turns(config, config.rope.beta_slow)));
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    const double way = (static_cast<double>(i) - low) / std::max(0.001, high - low);
    const double kept = 1 - std::clamp(way, 0.0, 1.0);
    frequencies_[i] *= (1 - kept) / factor + kept;
  }
  magnitude_ = static_cast<float>(config.rope.magnitude * (1 + 0.1 * exact_log(factor)));
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
      *out++ = c.cos * magnitude_;
      *out++ = c.sin * magnitude_;
    }
  }
  made_ = target;
}

const float* rope_table::row(position p) const {
  OVIR_CHECK(p < made_, p, made_);
  return rows_.data() + std::size_t{p} * frequencies_.size() * 2;
}

} // namespace ovir::compute
