#pragma once

#include "messages/result.hpp"

#include <nlohmann/json.hpp>

#include <string_view>

namespace ovir::gateway {

using json = nlohmann::json;

/// The one JSON object a body must be (RFC 8259, UTF-8, no key twice, no number beyond a double).
/// Its form is looked at before anything is kept: at most limits::api_json_depth_max deep,
/// limits::api_json_values_max values, and limits::api_json_members_max in one object, so that a
/// document costs no more than a few times its bytes.
/// `malformed` or `over_limit`, one sentence without the document's text.
[[nodiscard]] result<json> parse_object(std::string_view text);

/// "application/json" and "application/json; charset=utf-8", in any case.
[[nodiscard]] bool is_json(std::string_view content_type);

} // namespace ovir::gateway
