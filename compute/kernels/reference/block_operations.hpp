#pragma once

#include "compute/kernels/kernels.hpp"
#include "compute/model/model_config.hpp"

#include <cstdint>
#include <span>

/// Operations of blocks that are a small part of the work: one definition for every processor,
/// in the order of operations that docs/formats/exact-1.md gives.
namespace ovir::compute {

/// Rotates `pairs` pairs of x by (cos_i, sin_i), interleaved in `cos_sin` [pairs][2].
void rotate(const kernel_set& kernels, rotary_pairs which, float* x, const float* cos_sin,
            std::uint32_t pairs);

/// out_i = fl(f(gate_i) * up_i), f the function of the gate. `out` may be `gate`.
void gated(const kernel_set& kernels, gate_function function, const float* gate, const float* up,
           std::uint32_t n, float* out);

/// An expert chosen for a row, and what its output is multiplied by.
struct chosen_expert {
  std::uint32_t expert;
  float share;
};

/// The `out.size()` experts of the highest `logits`, ties to the lower number, ascending by number.
/// Their shares are exp(l - l_max) over the striped sum of these, lane = expert mod 16: of all
/// experts, or of those chosen. False when a logit is a NaN or an infinity; `out` is unspecified
/// then. Precondition: at least as many logits as `out`.
[[nodiscard]] bool choose_experts(std::span<const float> logits, bool shares_of_all,
                                  std::span<chosen_expert> out);

/// 1 / (1 + exp(-x)): the share of an expert that every row uses.
[[nodiscard]] float share_of(float x) noexcept;

/// sum_i = fl(sum_i + fl(share * x_i)).
void add_share(float* sum, const float* x, std::uint32_t n, float share);

/// x_i = fl(x_i * factor); nothing where the factor is 1.
void scale_by(float* x, std::uint32_t n, float factor);

/// What a model makes of its head's products: divided, then capped.
void finish_logits(const model_config& config, float* logits, std::uint32_t n);

/// Whether none of them is a NaN or an infinity. Looks at all, several at once.
[[nodiscard]] bool all_finite(std::span<const float> x) noexcept;

} // namespace ovir::compute
