#pragma once

#include "gateway/api/completion_request.hpp"

#include <chrono>
#include <string_view>

namespace ovir::gateway {

/// The body of Anthropic's POST /v1/messages, or with `count` of /v1/messages/count_tokens, as a
/// chat, less its form. Errors name the parameter as Anthropic does.
[[nodiscard]] api_result<completion_request>
read_anthropic_messages(std::string_view body, bool count, std::chrono::milliseconds usual);

} // namespace ovir::gateway
