#pragma once

#include "learning/rounds/task.hpp"

#include <cstdint>

/// What a round promises of differential privacy (docs/formats/rounds.md, recomputed by
/// round_epsilon.py in docs/proofs). Neighbours: a worker's whole update is there, or is all zeros.
namespace ovir::learning {

/// The least noise that a sum has: that of so many workers of whom the coordinator knows nothing.
struct noise_share {
  std::uint32_t workers{0};    ///< at least 1
  std::uint64_t variance{0};   ///< of each, a discrete Gaussian
  std::uint32_t numbers{0};    ///< in a sum
  std::uint32_t clip_units{0}; ///< L2 norm of one update at most
};

[[nodiscard]] noise_share least_noise(const round_task& task);

/// rho of zero-concentrated differential privacy (Bun, Steinke 2016) of a sum with sums of discrete
/// Gaussians: epsilon^2 / 2 by Kairouz, Liu, Steinke (arXiv:2102.06387), theorem 1. rhos of several
/// rounds of one worker add up.
[[nodiscard]] double rho_of(const noise_share& noise);

/// The epsilon of (epsilon, 2^-delta_bits)-differential privacy that rho implies: Canonne, Kamath,
/// Steinke (arXiv:2004.00010), corollary 13, the least over orders 1 + 2^(j / 16), j = -160 to 320.
[[nodiscard]] double epsilon_of(double rho, std::uint8_t delta_bits);

/// Of one round in the mode private; infinite in the mode open.
[[nodiscard]] double epsilon_of(const round_task& task);

} // namespace ovir::learning
