#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// How likely the model held the tokens of a text (docs/formats/logprobs.md).
namespace ovir::compute {

struct token_logprob {
  token_id token{0};
  float logprob{0}; ///< natural logarithm of the probability: at most 0, finite

  friend bool operator==(const token_logprob&, const token_logprob&) = default;
};

/// Of one token that was drawn, in the model's own distribution: the softmax of the raw logits,
/// whatever temperature, penalty or constraint it was drawn with.
struct token_logprobs {
  float drawn{0};                 ///< of the token drawn
  std::vector<token_logprob> top; ///< the likeliest: logits descending, then ids ascending

  friend bool operator==(const token_logprobs&, const token_logprobs&) = default;
};

/// Of finite `logits`, one per token of the vocabulary; `drawn` is one of them. `top`: how many of
/// the likeliest, at most as many as there are. The same bits on every machine.
[[nodiscard]] token_logprobs logprobs_of(std::span<const float> logits, token_id drawn,
                                         std::uint32_t top);

} // namespace ovir::compute
