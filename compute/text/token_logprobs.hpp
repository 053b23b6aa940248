#pragma once

#include "messages/ids.hpp"
#include "messages/request/token.hpp"

#include <cstdint>
#include <span>

/// How likely the model held the tokens of a text (docs/formats/logprobs.md).
namespace ovir::compute {

/// Of finite `logits`, one per token of the vocabulary; `drawn` is one of them. `top`: how many of
/// the likeliest, at most as many as there are. The same bits on every machine.
[[nodiscard]] token_logprobs logprobs_of(std::span<const float> logits, token_id drawn,
                                         std::uint32_t top);

} // namespace ovir::compute
