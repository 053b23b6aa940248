#include "gateway/doors/door_body.hpp"

#include <fmt/format.h>

namespace ovir::gateway {

api_result<door_body> door_body_from(std::string_view body) {
  auto document = parse_object(body);
  if (!document) {
    return refusal(400, "invalid_json", document.error().message);
  }
  return door_body{std::move(*document), ordered_json::parse(body, nullptr, false)};
}

std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void pass(parameters& in, const ordered_json& from, std::string_view key, ordered_json& to,
          std::string_view as) {
  if (in.has(key)) {
    to[std::string{as}] = from.at(std::string{key});
  }
}

void pass_own(parameters& in, const ordered_json& from, ordered_json& to) {
  for (const std::string_view key :
       {"seed", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "logit_bias",
        "min_tokens", "deadline_ms", "priority", "receipt", "audit", "privacy", "tier",
        "speculate"}) {
    pass(in, from, key, to, key);
  }
}

api_result<completion_request> request_from(api_kind kind, const ordered_json& body,
                                            std::chrono::milliseconds usual_deadline,
                                            new_names names) {
  auto read = parse_completion(kind, dumped(body), usual_deadline);
  if (auto* const refused = std::get_if<api_error>(&read)) {
    for (const auto& [old_name, name] : names) {
      if (refused->param == old_name) {
        const std::string quoted = fmt::format("'{}'", old_name);
        if (const std::size_t at = refused->message.find(quoted); at != std::string::npos) {
          refused->message.replace(at, quoted.size(), fmt::format("'{}'", name));
        }
        refused->param = name;
        break;
      }
    }
  }
  return read;
}

std::string typed_event(std::string_view type, const json& data) {
  return fmt::format("event: {}\ndata: {}\n\n", type, dumped(data));
}

ordered_json chat_tool(const std::string& name, const ordered_json& description,
                       const ordered_json& schema) {
  ordered_json function{{"name", name}};
  if (!description.is_null()) {
    function["description"] = description;
  }
  if (!schema.is_null()) {
    function["parameters"] = schema;
  }
  return {{"type", "function"}, {"function", std::move(function)}};
}

ordered_json chat_call_of(const std::string& id, const std::string& name,
                          const std::string& arguments) {
  return {
      {"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

} // namespace ovir::gateway
