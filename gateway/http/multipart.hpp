#pragma once

#include "messages/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Bodies of type multipart/form-data (RFC 7578), as browsers and clients of OpenAI write them.
namespace ovir::gateway {

/// A field of a form.
struct form_part {
  std::string name;
  std::optional<std::string> file_name{}; ///< of a file
  std::string_view bytes;                 ///< within the body
};

[[nodiscard]] bool is_form(std::string_view content_type);

/// The parts of `body` in their order, whose bytes lie in it. Nothing may stand in front of the
/// first part and nothing but an end of line behind the last. Parts that are encoded for mail are
/// refused. At most limits::form_parts_max parts, their heads limits::form_head_bytes_max bytes
/// each. `malformed`, `over_limit` or `unsupported`, one sentence without the body's text.
[[nodiscard]] result<std::vector<form_part>> parse_form(std::string_view content_type,
                                                        std::string_view body);

} // namespace ovir::gateway
