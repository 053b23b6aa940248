#pragma once

#include "compute/kernels.hpp"
#include "compute/model_config.hpp"

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

/// x_i = fl(x_i * factor); nothing where the factor is 1.
void scale_by(float* x, std::uint32_t n, float factor);

/// What a model makes of its head's products: divided, then capped.
void finish_logits(const model_config& config, float* logits, std::uint32_t n);

/// Whether none of them is a NaN or an infinity. Looks at all, several at once.
[[nodiscard]] bool all_finite(std::span<const float> x) noexcept;

} // namespace ovir::compute
