#pragma once

#include "gateway/api/completion_request.hpp"
#include "gateway/http/parameters.hpp"

#include <string_view>

namespace ovir::gateway {

/// Reads `response_format`, `tools`, `tool_choice` and `parallel_tool_calls`. `body`: the document
/// that `in` reads from, as it came, because the order of a schema's members counts.
void read_constraint(parameters& in, std::string_view body, completion_request& out);

} // namespace ovir::gateway
