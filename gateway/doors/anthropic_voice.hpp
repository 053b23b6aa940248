#pragma once

#include "gateway/api/answer_form.hpp"

#include <memory>
#include <string>

namespace ovir::gateway {

/// Answers as messages of Anthropic's API; with `count` the number of a prompt's tokens.
[[nodiscard]] std::shared_ptr<const answer_form> anthropic_form(bool count);

/// {"type": "error", "error": {"type", "message"}}
[[nodiscard]] std::string anthropic_error(const api_error& why);

} // namespace ovir::gateway
