#pragma once

#include "gateway/api/completion_request.hpp"

#include <string>
#include <vector>

namespace ovir::gateway {

/// Writes a conversation with tools down for a chat format that knows only texts
/// (docs/formats/http.md, "Tools"): what there is to call stands in front, calls and their results
/// are texts of the assistant and the user. `in_system`: whether the format has a place for a
/// system message; else it stands in the first user message.
[[nodiscard]] std::vector<chat_message> without_tools(const completion_request& request,
                                                      bool in_system);

/// Whether a conversation has anything to do with tools.
[[nodiscard]] bool uses_tools(const completion_request& request);

/// Both, with an empty line between them; one that is empty adds nothing.
[[nodiscard]] std::string joined(const std::string& first, const std::string& second);

/// A call as the model writes it. `arguments`: JSON.
[[nodiscard]] std::string written_call(const std::string& name, const std::string& arguments);

} // namespace ovir::gateway
