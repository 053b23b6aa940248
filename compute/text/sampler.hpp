#pragma once

#include "compute/text/token_matcher.hpp"
#include "messages/ids.hpp"
#include "messages/request/params.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ovir::compute {

/// The first token among equals of the highest logit: what a greedy draw without a penalty takes.
/// Precondition: not empty.
[[nodiscard]] token_id highest_of(std::span<const float> logits);
/// The same among the tokens of `allowed`, at least one of which is one of the logits.
[[nodiscard]] token_id highest_of(std::span<const float> logits, token_mask allowed);

/// Draws tokens as exact-1 section 5 says: no libm, no library generator, no state but scratch, so
/// a token depends on its arguments alone.
class sampler {
public:
  explicit sampler(sampling_params params) : params_(std::move(params)) {}

  /// The token for position `p` given the raw logits of position p - 1 and the ids before it
  /// (prompt and output; the repeat penalty looks at the last 64). Logits are finite. Tokens that
  /// are not `allowed` count as if they had no logit; empty: all are. `output`: all tokens drawn
  /// before, which is read where `counts_output`.
  [[nodiscard]] token_id draw(std::span<const float> logits, std::span<const token_id> history,
                              position p, token_mask allowed = {},
                              std::span<const token_id> output = {});

  /// Whether a draw is only one look at each logit: a hundredth of what others take.
  [[nodiscard]] bool takes_highest() const noexcept {
    return params_.temperature == 0 && !changes_logits() && params_.constraint.empty() &&
           params_.min_tokens == 0;
  }
  /// Whether a draw depends on all that was drawn before.
  [[nodiscard]] bool counts_output() const noexcept {
    return params_.presence_penalty != 0 || params_.frequency_penalty != 0;
  }

private:
  struct candidate {
    float logit;
    token_id id;
  };

  [[nodiscard]] bool changes_logits() const noexcept {
    return params_.repeat_penalty != 1 || counts_output() || !params_.logit_bias.empty();
  }
  /// Fills `candidates_` with every token that is allowed, in order of their ids.
  void gather(std::span<const float> logits, token_mask allowed);
  /// The logit of a candidate; null where the token is none. `from`: the first candidate that may
  /// be it, moved to where it stands or would.
  [[nodiscard]] float* logit_of(std::size_t& from, token_id id);
  /// Each changes the logits of candidates in order of their ids.
  void penalize_repeats(std::span<const token_id> history);
  void penalize_counts(std::span<const token_id> output);
  void add_biases();
  /// Leaves the first `top_k` in order (logit descending, id ascending), less tokens of weight 0.
  void keep_top_k();
  /// Computes `weights_` of the candidates; their sum.
  std::uint64_t weigh();
  void keep_top_p(std::uint64_t total);
  void keep_min_p();

  sampling_params params_;
  std::vector<candidate> candidates_;
  std::vector<std::uint64_t> weights_;
  std::vector<token_id> counted_; ///< tokens of the output, sorted
};

} // namespace ovir::compute
