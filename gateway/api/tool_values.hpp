#pragma once

#include "gateway/api/completion_request.hpp"
#include "templates/value.hpp"

#include <span>
#include <string_view>

/// Conversations with tools as the templates of models expect them: what clients of OpenAI send,
/// with the arguments of calls as values. Every text in them but roles is of the client, so no
/// control token is read in it.
namespace ovir::gateway {

/// A list of messages with role, content and, of an assistant, `tool_calls`; of a tool
/// `tool_call_id` and the called function's `name`.
[[nodiscard]] templates::value conversation_value(std::span<const chat_message> messages);

/// A list of tools, of a `completion_request`'s `tools_text`; none where that is empty.
[[nodiscard]] templates::value tools_value(std::string_view tools_text);

} // namespace ovir::gateway
