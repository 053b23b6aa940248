#pragma once

#include "actors/protocol/protocol.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::actors {

/// Draws as a request without drafts does, from the same logits, one position after another: until
/// what comes out is not what was guessed, and the next logits are of another text. `frame` holds a
/// row of logits for position `at` and for each draft. `recent`: ids the repeat penalty looks at.
/// `matcher`: null, or the request's; `malformed` where `output` does not keep to it. `output`: all
/// that was drawn so far, where there is a matcher or the sampler counts it. `logprobs`: as of
/// `request_log`.
[[nodiscard]] result<tokens_drawn>
draw_all(const std::vector<std::byte>& frame, position at, const std::vector<token_id>& drafts,
         std::vector<token_id> recent, compute::sampler& sampler, compute::token_matcher* matcher,
         std::vector<token_id> output, std::optional<std::uint32_t> logprobs = {});

} // namespace ovir::actors
