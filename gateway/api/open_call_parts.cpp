#include "gateway/api/open_call_parts.hpp"

#include "gateway/api/api_door.hpp"

#include <utility>

namespace ovir::gateway {

namespace {

api_kind kind_of(std::string_view path) {
  if (path == "/v1/embeddings") {
    return api_kind::embedding;
  }
  return path == "/v1/completions" ? api_kind::completion : api_kind::chat;
}

} // namespace

void open_calls::pending::read() {
  outcome = outcome_of_body();
  request.body = {};
}

std::variant<prepared_request, http_reply, api_error> open_calls::pending::outcome_of_body() {
  auto parsed = door == nullptr ? parse_completion(kind_of(request.path), request.body, deadline)
                                : door->read(request.path, request.body, deadline, *kept);
  if (auto* const refused = std::get_if<api_error>(&parsed)) {
    return std::move(*refused);
  }
  auto& asked = std::get<completion_request>(parsed);
  asked.reveal = stricter(asked.reveal, key.reveal);
  asked.privacy = stricter(asked.privacy, key.privacy);
  asked.batch = asked.batch || unattended;
  auto model = find_model(models, asked.model);
  if (auto* const refused = std::get_if<api_error>(&model)) {
    return std::move(*refused);
  }
  const auto& found = std::get<served_model>(model);
  const form_purpose purpose = asked.form ? asked.form->purpose() : form_purpose::answer;
  if (purpose == form_purpose::model) {
    return asked.form->told(found, 0);
  }
  deadline = asked.deadline;
  auto ready = prepare(asked, found, id, format, who);
  if (auto* const refused = std::get_if<api_error>(&ready)) {
    return std::move(*refused);
  }
  auto& prepared = std::get<prepared_request>(ready);
  if (purpose == form_purpose::count) {
    return asked.form->told(found, prepared.shape.prompt_tokens);
  }
  return std::move(prepared);
}

} // namespace ovir::gateway
