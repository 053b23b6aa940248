#pragma once

#include "gateway/api/answer_shelf.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/doors/door_body.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace ovir::gateway {

/// The body of OpenAI's POST /v1/responses.
struct responses_request {
  completion_request asked;  ///< less its form
  json echo;                 ///< what the response repeats of its request
  ordered_json conversation; ///< messages of a chat, the earlier ones too, less 'instructions'
  bool store{true};          ///< a later request may go on with it
};

/// `kept`: what 'previous_response_id' may name. Errors name the parameter as this API does.
[[nodiscard]] api_result<responses_request> read_responses(std::string_view body,
                                                           std::chrono::milliseconds usual,
                                                           const answer_shelf::owned& kept);

/// "resp_" and the request's id.
[[nodiscard]] std::string response_name(request_id id);
/// None: no such name can be.
[[nodiscard]] std::optional<request_id> response_from(std::string_view name);

} // namespace ovir::gateway
