#pragma once

#include "learning/rounds/mask_crypto.hpp"
#include "learning/rounds/wide.hpp"
#include "messages/result.hpp"

#include <cstdint>

/// Exact samples by algorithms 1 to 3 of Canonne, Kamath, Steinke, *The Discrete Gaussian for
/// Differential Privacy* (arXiv:2004.00010), in integers of 128 bits: no number is rounded. Running
/// time depends on what is drawn.
namespace ovir::learning {

/// Evenly from 0 to `bound` - 1. Precondition: `bound` is not 0.
[[nodiscard]] uint128 drawn_below(uint128 bound, keystream& chance);

/// True with probability exp(-numerator / denominator). Precondition: denominator not 0 and below
/// 2^112.
[[nodiscard]] bool drawn_exp(uint128 numerator, uint128 denominator, keystream& chance);

/// The discrete Laplace distribution: P(x) in proportion to exp(-|x| / scale). Precondition: scale
/// is 1 to 2^21.
[[nodiscard]] std::int64_t drawn_laplace(std::uint64_t scale, keystream& chance);

/// The discrete Gaussian: P(x) in proportion to exp(-x^2 / (2 variance)). Precondition: variance is
/// 1 to limits::round_variance_max. `internal` for what has a probability below 2^-(10^9).
[[nodiscard]] result<std::int64_t> drawn_gaussian(std::uint64_t variance, keystream& chance);

} // namespace ovir::learning
