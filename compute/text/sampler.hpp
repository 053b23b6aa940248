#pragma once

#include "compute/text/token_matcher.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ovir::compute {

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

/// `invalid_argument` names the parameter, its value and its range. A constraint is looked at by
/// `token_matcher::make`.
[[nodiscard]] result<void> check(const sampling_params& params);

/// The first token among equals of the highest logit: what a greedy draw without a penalty takes.
/// Precondition: not empty.
[[nodiscard]] token_id highest_of(std::span<const float> logits);
/// The same among the tokens of `allowed`, at least one of which is one of the logits.
[[nodiscard]] token_id highest_of(std::span<const float> logits, token_mask allowed);

/// Draws tokens as exact-1 section 5 says: no libm, no library generator, no state but scratch, so
/// a token depends on its arguments alone.
class sampler {
public:
  explicit sampler(sampling_params params) : params_(params) {}

  /// The token for position `p` given the raw logits of position p - 1 and the ids before it
  /// (prompt and output; the penalty looks at the last 64). Logits are finite. Tokens that are not
  /// `allowed` count as if they had no logit; empty: all are.
  [[nodiscard]] token_id draw(std::span<const float> logits, std::span<const token_id> history,
                              position p, token_mask allowed = {});

  /// Whether a draw is only one look at each logit: a hundredth of what others take.
  [[nodiscard]] bool takes_highest() const noexcept {
    return params_.temperature == 0 && params_.repeat_penalty == 1 && params_.constraint.empty();
  }

private:
  struct candidate {
    float logit;
    token_id id;
  };

  /// Fills `candidates_` with every token that is allowed, its penalty applied.
  void gather(std::span<const float> logits, std::span<const token_id> history, token_mask allowed);
  /// Leaves the first `top_k` in order (logit descending, id ascending), less tokens of weight 0.
  void keep_top_k();
  /// Computes `weights_` of the candidates; their sum.
  std::uint64_t weigh();
  void keep_top_p(std::uint64_t total);
  void keep_min_p();

  sampling_params params_;
  std::vector<candidate> candidates_;
  std::vector<std::uint64_t> weights_;
};

} // namespace ovir::compute
