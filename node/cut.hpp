#pragma once

#include "compute/model/model.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <vector>

namespace ovir::supervision {

/// Positions per prefill step: at most `wanted`, and so few that a boundary fits a frame and no
/// activation of a step exceeds `limits::activation_bytes_max`. At least 1.
[[nodiscard]] std::uint32_t prefill_chunk_for(const compute::model_config& config,
                                              std::uint32_t wanted);

/// Cuts `layers` layers into `stages` contiguous segments whose weights, per layer
/// `bytes_per_layer` plus `head_bytes` for the last, differ as little as whole layers allow.
/// Precondition: 1 <= stages
/// <= layers.
[[nodiscard]] std::vector<layer_range> cut(const std::vector<std::uint64_t>& bytes_per_layer,
                                           std::uint64_t head_bytes, std::uint32_t stages);

} // namespace ovir::supervision
