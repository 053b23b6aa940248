#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/layer_step.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// A member's part of a mixture of experts, in the two steps between which activations cross: rows
/// of every expert's gate and up, then rows of its down. Sums over experts are of single elements
/// in the order of experts, so rows of them have the bits of the whole.
namespace ovir::compute {

/// Which rows of activations a step's experts have: `step.rows` times the experts of a row, those
/// of a row ascending. A row that does not go on has zeros.
[[nodiscard]] std::size_t expert_seats(const layer_step& step) noexcept;

/// [expert_seats][step.config.expert_ffn_dim], the part's. Precondition: `step.read_mixture`.
void inner_of_experts(const layer_step& step, parallel_runner& runner, std::vector<float>& inner);

/// What the experts, and a shared one, put out in the part's rows: [step.rows][width], from
/// activations of all members, [expert_seats][all]. False when no session is left.
[[nodiscard]] bool rows_of_experts(const layer_step& step, std::span<const float> inner,
                                   std::uint32_t all, std::uint32_t width, parallel_runner& runner,
                                   float* out);

} // namespace ovir::compute
