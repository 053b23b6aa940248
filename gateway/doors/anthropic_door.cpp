#include "gateway/doors/anthropic_door.hpp"

#include "gateway/doors/anthropic_request.hpp"
#include "gateway/doors/anthropic_voice.hpp"

namespace ovir::gateway {

namespace {

constexpr std::string_view messages_path = "/v1/messages";
constexpr std::string_view count_path = "/v1/messages/count_tokens";

} // namespace

std::string_view anthropic_door::methods(std::string_view path) const {
  return path == messages_path || path == count_path ? "POST" : "";
}

api_result<completion_request> anthropic_door::read(std::string_view path, std::string_view body,
                                                    std::chrono::milliseconds usual_deadline,
                                                    const answer_shelf::owned& kept) const {
  static_cast<void>(kept);
  const bool count = path == count_path;
  auto request = read_anthropic_messages(body, count, usual_deadline);
  if (auto* const read = std::get_if<completion_request>(&request)) {
    read->form = anthropic_form(count);
  }
  return request;
}

/// All its paths are for `read`.
http_reply anthropic_door::reply(const http_request& request, const door_view& view) const {
  static_cast<void>(request);
  static_cast<void>(view);
  return {};
}

std::string anthropic_door::error_body(const api_error& why) const { return anthropic_error(why); }

} // namespace ovir::gateway
