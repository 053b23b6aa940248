#pragma once

#include "compute/text/tokenizer.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/api/generator.hpp"
#include "gateway/http/bounded_json.hpp"

#include <cstddef>
#include <vector>

/// Logprobs as OpenAI's clients read them (docs/formats/logprobs.md).
namespace ovir::gateway {

/// Some tokens of an answer that follow each other, all with logprobs.
struct told_tokens {
  std::vector<told_token> tokens;
  std::size_t offset{0}; ///< characters of the answer's tokens in front of them
};

/// The value of a choice's "logprobs" for these tokens: of a chat {"content", "refusal"}, of a
/// completion {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. A token that ends the
/// answer is left out.
[[nodiscard]] json logprobs_json(api_kind kind, const told_tokens& told,
                                 const compute::tokenizer& vocabulary);

/// Characters of a token: bytes that begin one.
[[nodiscard]] std::size_t characters_of(token_id token, const compute::tokenizer& vocabulary);

} // namespace ovir::gateway
