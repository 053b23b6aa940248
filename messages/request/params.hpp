#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// How the tokens of a request are chosen.
namespace ovir {

/// How a token is drawn from logits. Greedy when `temperature` is 0.
struct sampling_params {
  float temperature{0};    ///< 0, or 1e-3 .. 1e3
  std::uint32_t top_k{0};  ///< 0: all
  double top_p{1};         ///< 0 < p <= 1
  double min_p{0};         ///< 0 <= p < 1
  float repeat_penalty{1}; ///< 0.01 .. 100; 1: none
  std::uint64_t seed{0};
  std::string constraint{}; ///< as of compute/text/constraint.hpp; empty: none

  friend bool operator==(const sampling_params&, const sampling_params&) = default;

  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, sampling_params& x) {
    return f(x.temperature, x.top_k, x.top_p, x.min_p, x.repeat_penalty, x.seed, x.constraint);
  }
};

/// `invalid_argument` names the parameter, its value and its range. `token_matcher::make` checks
/// the constraint.
[[nodiscard]] result<void> check(const sampling_params& params);

/// What the hidden rows of a text become in its embedding.
enum class pooling : std::uint8_t {
  mean = 1, ///< the mean of all positions
  last = 2, ///< the last position
};

/// Whether a request computes guessed tokens along with the known one. Its bits do not depend on
/// it.
enum class speculation : std::uint8_t {
  automatic, ///< while that is measured to be faster
  on,        ///< whenever there is a guess
  off,
};

/// The mode that an option names: auto, on or off. Else `invalid_argument`.
[[nodiscard]] result<speculation> speculation_from(std::string_view name);

} // namespace ovir
