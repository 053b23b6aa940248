#include "gateway/doors/responses_door.hpp"

#include "gateway/doors/door_body.hpp"
#include "gateway/doors/responses_request.hpp"
#include "gateway/doors/responses_voice.hpp"

#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view responses_path = "/v1/responses";
constexpr std::string_view response_path = "/v1/responses/";

} // namespace

std::string_view responses_door::methods(std::string_view path) const {
  if (reads(path)) {
    return "POST";
  }
  return path.starts_with(response_path) && path.size() > response_path.size() ? "GET, DELETE" : "";
}

bool responses_door::reads(std::string_view path) const { return path == responses_path; }

api_result<completion_request> responses_door::read(std::string_view path, std::string_view body,
                                                    std::chrono::milliseconds usual_deadline,
                                                    const answer_shelf::owned& kept) const {
  static_cast<void>(path);
  auto read = read_responses(body, usual_deadline, kept);
  if (auto* const refused = std::get_if<api_error>(&read)) {
    return std::move(*refused);
  }
  auto& request = std::get<responses_request>(read);
  completion_request asked = std::move(request.asked);
  asked.form = responses_form(std::move(request));
  return asked;
}

http_reply responses_door::reply(const http_request& request, const door_view& view) const {
  http_reply out;
  const auto id = response_from(std::string_view{request.path}.substr(response_path.size()));
  const auto found = id ? view.kept.find(view.owner, *id) : nullptr;
  if (found == nullptr) {
    const api_error why = refusal(404, "unknown_response",
                                  "this node has no such response; it keeps the latest ones that "
                                  "are over, unless 'store' is false");
    out.status = why.status;
    out.body = error_body(why);
  } else if (request.method == "DELETE") {
    view.kept.drop(view.owner, *id);
    out.body = dumped(json{{"id", response_name(*id)}, {"object", "response"}, {"deleted", true}});
  } else {
    out.body = found->body;
  }
  return out;
}

std::string responses_door::error_body(const api_error& why) const { return body_of(why); }

} // namespace ovir::gateway
