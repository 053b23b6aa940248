#pragma once

#include "compute/model/model_config.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/result.hpp"
#include "verify/receipt_replay.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

/// What the replays of a whole receipt and of one window share.
namespace ovir::compute {

/// `invalid_argument` where a model like this cannot have computed the receipt: other layers, more
/// positions than its context, unknown tokens, sampling parameters outside their ranges.
[[nodiscard]] result<void> check_replayable(const receipt& r, const model_config& config);

/// The end of a replay: from logits their digests, and the tokens that follow by the receipt's
/// sampling. The receipt outlives it, the vocabulary as well.
class replay_draws {
public:
  /// Without `vocabulary` the tokens of a constrained answer are not judged. Precondition:
  /// `check_replayable`.
  replay_draws(const receipt& r, const model_config& config, const tokenizer* vocabulary);

  /// Prompt, then output.
  [[nodiscard]] std::span<const token_id> tokens() const noexcept { return tokens_; }
  /// Rows at the end of positions [first, end) from which tokens are drawn.
  [[nodiscard]] std::uint32_t rows_of(position first, position end) const noexcept;
  /// `rows`: the logits of position `first` and those behind it.
  void take(position first, std::span<const float> rows, replay_outcome& out);

private:
  void take_token(position p, std::span<const float> row, replay_outcome& out);

  const receipt& receipt_;
  std::uint32_t row_;                      ///< logits of a position
  std::unique_ptr<token_matcher> matcher_; ///< null: every token may come, or no vocabulary
  std::vector<token_id> tokens_;
  sampler sampler_;
};

} // namespace ovir::compute
