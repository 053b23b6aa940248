#pragma once

/// Bounds on numbers of a model's metadata that change its arithmetic.
namespace ovir::limits {

inline constexpr double rope_factor_max = 1024;    // by which scaling stretches positions
inline constexpr double model_scale_min = 0x1p-20; // of embeddings, residuals, logits and scores
inline constexpr double model_scale_max = 0x1p20;
inline constexpr double soft_cap_max = 0x1p20;

} // namespace ovir::limits
