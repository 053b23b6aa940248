#include "bindings/cpp/event_stream.hpp"

#include "messages/limits/bindings.hpp"

#include <utility>

namespace ovir::bindings {

using apps::json;

result<json> object_from(std::string_view text) {
  json document = json::parse(text, nullptr, false);
  if (!document.is_object()) {
    return fail(errc::malformed, "the endpoint's answer is no JSON object");
  }
  return document;
}

json object_in(const json& from, std::string_view key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_object() ? *found : json::object();
}

std::string text_in(const json& from, std::string_view key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

json first_choice(const json& document) {
  const auto found = document.find("choices");
  if (found == document.end() || !found->is_array() || found->empty() ||
      !found->front().is_object()) {
    return json::object();
  }
  return found->front();
}

result<void> event_stream::add(std::string_view bytes) {
  bytes_.erase(0, std::exchange(at_, 0));
  bytes_ += bytes;
  if (bytes_.size() > limits::cluster_line_bytes_max && bytes_.find('\n') == std::string::npos) {
    return fail(errc::over_limit, "the endpoint sends an event of more than {} bytes",
                limits::cluster_line_bytes_max);
  }
  return {};
}

std::optional<event_stream::event> event_stream::next() {
  while (true) {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string::npos) {
      return std::nullopt;
    }
    std::string_view line = std::string_view{bytes_}.substr(at_, end - at_);
    at_ = end + 1;
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.starts_with("id: ")) {
      id_ = line.substr(4);
    } else if (line.starts_with("data: ")) {
      return event{std::exchange(id_, {}), std::string{line.substr(6)}};
    }
  }
}

} // namespace ovir::bindings
