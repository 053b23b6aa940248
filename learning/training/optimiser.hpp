#pragma once

#include "learning/adapter/adapter.hpp"

#include <cstdint>

namespace ovir::learning {

enum class optimiser_kind : std::uint8_t {
  adamw, ///< arXiv:1711.05101
  sgd,   ///< with momentum
};

struct optimiser_settings {
  optimiser_kind kind{optimiser_kind::adamw};
  float rate{0x1p-10F};
  float beta1{0.9F};    ///< AdamW
  float beta2{0.999F};  ///< AdamW
  float epsilon{1e-8F}; ///< AdamW
  float momentum{0.9F}; ///< SGD
  float decay{0};       ///< of weights

  friend bool operator==(const optimiser_settings&, const optimiser_settings&) = default;
};

/// What an optimiser remembers of earlier gradients.
struct moments {
  lora_numbers first;
  lora_numbers second; ///< AdamW; otherwise all +0
};

/// The norm of `gradient`: a sum of squares in binary64, in the order of `for_each_pair`, A first.
[[nodiscard]] double norm_of(const lora_numbers& gradient);

/// What a step multiplies by.
struct step_factors {
  float rate;
  float gradient;     ///< each gradient is multiplied by it first
  std::uint32_t step; ///< from 0
};

/// One step in binary32, number by number, in the order of docs/formats/learn-1.md.
void take_step(const optimiser_settings& how, const step_factors& with,
               const lora_numbers& gradient, moments& kept, lora_numbers& numbers);

} // namespace ovir::learning
