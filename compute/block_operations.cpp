#include "compute/block_operations.hpp"

#include "compute/exact_math.hpp"

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
