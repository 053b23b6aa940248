#include "gateway/doors/ollama_door.hpp"

#include "gateway/doors/door_body.hpp"
#include "gateway/doors/ollama_request.hpp"
#include "gateway/doors/ollama_voice.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace ovir::gateway {

namespace {

struct ollama_path {
  std::string_view path;
  std::string_view methods;
  std::optional<ollama_task> task{};
};

constexpr std::string_view version_path = "/api/version";
constexpr std::string_view tags_path = "/api/tags";
constexpr std::string_view running_path = "/api/ps";

constexpr std::array<ollama_path, 14> ollama_paths{{
    {"/", "GET, HEAD"},
    {version_path, "GET, HEAD"},
    {tags_path, "GET, HEAD"},
    {running_path, "GET, HEAD"},
    {"/api/chat", "POST", ollama_task::chat},
    {"/api/generate", "POST", ollama_task::generate},
    {"/api/embed", "POST", ollama_task::embed},
    {"/api/embeddings", "POST", ollama_task::embeddings},
    {"/api/show", "POST", ollama_task::show},
    {"/api/pull", "POST", ollama_task::pull},
    {"/api/create", "POST"},
    {"/api/copy", "POST"},
    {"/api/push", "POST"},
    {"/api/delete", "DELETE"},
}};

const ollama_path* ollama_path_of(std::string_view path) {
  const auto* const found = std::find_if(ollama_paths.begin(), ollama_paths.end(),
                                         [&](const ollama_path& p) { return p.path == path; });
  return found == ollama_paths.end() ? nullptr : found;
}

} // namespace

std::string_view ollama_door::methods(std::string_view path) const {
  const ollama_path* const known = ollama_path_of(path);
  return known == nullptr ? std::string_view{} : known->methods;
}

bool ollama_door::reads(std::string_view path) const {
  const ollama_path* const known = ollama_path_of(path);
  return known != nullptr && known->task.has_value();
}

api_result<completion_request> ollama_door::read(std::string_view path, std::string_view body,
                                                 std::chrono::milliseconds usual_deadline,
                                                 const answer_shelf::owned& kept) const {
  static_cast<void>(kept);
  const ollama_task task = ollama_path_of(path)->task.value();
  auto read = read_ollama(task, body, usual_deadline);
  if (auto* const refused = std::get_if<api_error>(&read)) {
    return std::move(*refused);
  }
  auto& request = std::get<ollama_request>(read);
  request.asked.form = ollama_form(task, request);
  return std::move(request.asked);
}

http_reply ollama_door::reply(const http_request& request, const door_view& view) const {
  http_reply out;
  if (request.path == "/") { // what its clients compare with
    out.content_type = "text/plain; charset=utf-8";
    out.body = "Ollama is running";
  } else if (request.path == version_path) {
    out.body = dumped(json{{"version", view.version}});
  } else if (request.path == tags_path || request.path == running_path) {
    out.body = ollama_models(view.models, request.path == running_path);
  } else {
    out.status = 400;
    out.body = error_body(refusal(400, "unsupported",
                                  "the operator of this swarm decides which models it has; "
                                  "GET /api/tags lists them"));
  }
  return out;
}

std::string ollama_door::error_body(const api_error& why) const { return ollama_error(why); }

} // namespace ovir::gateway
