#include "compute/kernels/reference/block_operations.hpp"

#include "compute/base/exact_math.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace ovir::compute {

void rotate(const kernel_set& kernels, rotary_pairs which, float* x, const float* cos_sin,
            std::uint32_t pairs) {
  if (which == rotary_pairs::neighbours) {
    kernels.rotate(x, cos_sin, pairs);
    return;
  }
  float* const y = x + pairs;
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const float c = cos_sin[2 * i];
    const float s = cos_sin[2 * i + 1];
    const float a = x[i];
    const float b = y[i];
    x[i] = a * c - b * s; // two products and a difference: contraction is off
    y[i] = a * s + b * c;
  }
}

void gated(const kernel_set& kernels, gate_function function, const float* gate, const float* up,
           std::uint32_t n, float* out) {
  if (function == gate_function::silu) {
    kernels.swiglu(gate, up, n, out);
    return;
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    out[i] = exact_gelu(gate[i]) * up[i];
  }
}

bool choose_experts(std::span<const float> logits, bool shares_of_all,
                    std::span<chosen_expert> out) {
  if (!all_finite(logits)) {
    return false;
  }
  // The best so far, best first: there are few, so insertion is what is fastest.
  std::size_t found = 0;
  for (std::uint32_t e = 0; e < logits.size(); ++e) {
    std::size_t at = found;
    while (at > 0 && logits[e] > out[at - 1].share) {
      --at;
    }
    if (at < out.size()) {
      found = std::min(found + 1, out.size());
      std::copy_backward(out.begin() + static_cast<std::ptrdiff_t>(at),
                         out.begin() + static_cast<std::ptrdiff_t>(found - 1),
                         out.begin() + static_cast<std::ptrdiff_t>(found));
      out[at] = {e, logits[e]};
    }
  }
  const float most = out[0].share;
  std::sort(out.begin(), out.end(),
            [](const chosen_expert& a, const chosen_expert& b) { return a.expert < b.expert; });
  std::array<float, 16> lanes{};
  for (chosen_expert& c : out) {
    c.share = exact_exp(c.share - most);
    if (!shares_of_all) {
      lanes[c.expert % lanes.size()] += c.share;
    }
  }
  for (std::uint32_t e = 0; shares_of_all && e < logits.size(); ++e) {
    lanes[e % lanes.size()] += exact_exp(logits[e] - most);
  }
  for (std::size_t half = lanes.size() / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) {
      lanes[l] += lanes[l + half];
    }
  }
  for (chosen_expert& c : out) {
    c.share /= lanes[0];
  }
  return true;
}

float share_of(float x) noexcept { return 1.0F / (1.0F + exact_exp(-x)); }

void add_share(float* sum, const float* x, std::uint32_t n, float share) {
  for (std::uint32_t i = 0; i < n; ++i) {
    sum[i] += share * x[i]; // a product and a sum: contraction is off
  }
}

void scale_by(float* x, std::uint32_t n, float factor) {
  if (factor == 1) {
    return;
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    x[i] *= factor;
  }
}

void finish_logits(const model_config& config, float* logits, std::uint32_t n) {
  if (config.logit_divisor != 1) {
    for (std::uint32_t i = 0; i < n; ++i) {
      logits[i] /= config.logit_divisor;
    }
  }
  if (config.logit_cap != 0) {
    for (std::uint32_t i = 0; i < n; ++i) {
      logits[i] = exact_soft_cap(logits[i], config.logit_cap);
    }
  }
}

bool all_finite(std::span<const float> x) noexcept {
  constexpr std::uint32_t exponent = 0x7F800000;
  std::uint32_t bad = 0;
  for (const float v : x) {
    bad |= (std::bit_cast<std::uint32_t>(v) & exponent) == exponent ? 1U : 0U;
  }
  return bad == 0;
}

} // namespace ovir::compute
