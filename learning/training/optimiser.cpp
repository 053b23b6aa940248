#include "learning/training/optimiser.hpp"

#include "compute/base/exact_math.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

namespace ovir::learning {

namespace {

/// What AdamW divides by at a step: 1 - beta^(step + 1), in binary64 and rounded once.
float bias_of(float beta, std::uint32_t step) {
  if (beta == 0) {
    return 1;
  }
  const double power = compute::exact_pow(static_cast<double>(beta), static_cast<double>(step) + 1);
  return static_cast<float>(1.0 - power);
}

/// The numbers of one matrix.
struct stretch {
  const std::vector<float>& gradient;
  std::vector<float>& first;
  std::vector<float>& second;
  std::vector<float>& numbers;
};

void adamw(const optimiser_settings& how, const step_factors& with, const stretch& s) {
  const float first_bias = bias_of(how.beta1, with.step);
  const float second_bias = bias_of(how.beta2, with.step);
  const float first_rest = 1.0F - how.beta1;
  const float second_rest = 1.0F - how.beta2;
  for (std::size_t i = 0; i < s.numbers.size(); ++i) {
    const float g = s.gradient[i] * with.gradient;
    const float m = std::fma(how.beta1, s.first[i], first_rest * g);
    const float v = std::fma(how.beta2, s.second[i], (second_rest * g) * g);
    s.first[i] = m;
    s.second[i] = v;
    const float d = (m / first_bias) / (std::sqrt(v / second_bias) + how.epsilon);
    const float w = s.numbers[i];
    s.numbers[i] = std::fma(-with.rate, std::fma(how.decay, w, d), w);
  }
}

void sgd(const optimiser_settings& how, const step_factors& with, const stretch& s) {
  for (std::size_t i = 0; i < s.numbers.size(); ++i) {
    const float m = std::fma(how.momentum, s.first[i], s.gradient[i] * with.gradient);
    s.first[i] = m;
    const float w = s.numbers[i];
    s.numbers[i] = std::fma(-with.rate, std::fma(how.decay, w, m), w);
  }
}

} // namespace

double norm_of(const lora_numbers& gradient) {
  double sum = 0;
  const auto add = [&sum](const std::vector<float>& values) {
    for (const float value : values) {
      sum += static_cast<double>(value) * static_cast<double>(value); // the product is exact
    }
  };
  for_each_pair(gradient, [&](std::size_t, std::size_t, const lora_pair& pair) {
    add(pair.a);
    add(pair.b);
  });
  return std::sqrt(sum);
}

void take_step(const optimiser_settings& how, const step_factors& with,
               const lora_numbers& gradient, moments& kept, lora_numbers& numbers) {
  const auto step = how.kind == optimiser_kind::adamw ? adamw : sgd;
  for_each_pair(numbers, [&](std::size_t layer, std::size_t place, lora_pair& pair) {
    const lora_pair& g = gradient[layer][place];
    lora_pair& first = kept.first[layer][place];
    lora_pair& second = kept.second[layer][place];
    step(how, with, {g.a, first.a, second.a, pair.a});
    step(how, with, {g.b, first.b, second.b, pair.b});
  });
}

} // namespace ovir::learning
