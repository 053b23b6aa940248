#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// A token of an answer, as it is drawn, logged and told.
namespace ovir {

/// A token the lead drew and the digest of the logits it came from: what another lead needs to go
/// on in its place.
struct drawn_token {
  token_id token{0};
  digest logits;

  friend bool operator==(const drawn_token&, const drawn_token&) = default;
};

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

/// Logprobs of a token, shared by all that keep them; null where the request wants none.
using shared_logprobs = std::shared_ptr<const token_logprobs>;

/// A token as a client hears of it.
struct told_token {
  std::uint32_t index{0}; ///< in the answer
  token_id token{0};
  std::string text{}; ///< what became complete with it
  shared_logprobs logprobs{};
};

} // namespace ovir
