#pragma once

#include "gateway/api/answer_form.hpp"
#include "gateway/doors/responses_request.hpp"

#include <memory>

namespace ovir::gateway {

/// Answers as responses of OpenAI's API, kept where the request says so.
[[nodiscard]] std::shared_ptr<const answer_form> responses_form(responses_request request);

} // namespace ovir::gateway
