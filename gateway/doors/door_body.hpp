#pragma once

#include "gateway/api/completion_request.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/bounded_json.hpp"
#include "gateway/http/parameters.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

/// What all doors need to turn a body into the body of a chat.
namespace ovir::gateway {

using ordered_json = nlohmann::ordered_json;

/// A body, and the same with its keys in their order: that of a schema's members decides how an
/// answer is constrained.
struct door_body {
  json document;
  ordered_json written;
};

/// Within the bounds of `parse_object`, else 400.
[[nodiscard]] api_result<door_body> door_body_from(std::string_view body);

/// Text that is not UTF-8 is mended.
[[nodiscard]] std::string dumped(const json& value);
[[nodiscard]] std::string dumped(const ordered_json& value);

/// Moves a parameter that is there, under another name.
void pass(parameters& in, const ordered_json& from, std::string_view key, ordered_json& to,
          std::string_view as);
/// Parameters that each door takes as a chat does: seed, min_p, repeat_penalty, presence_penalty,
/// frequency_penalty, logit_bias, min_tokens, deadline_ms, priority, receipt, audit, speculate.
/// `taken`: those that the door has itself.
void pass_own(parameters& in, const ordered_json& from, ordered_json& to);

using new_names = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// A chat's body as a request; errors name parameters by the door's names.
[[nodiscard]] api_result<completion_request> request_from(api_kind kind, const ordered_json& body,
                                                          std::chrono::milliseconds usual_deadline,
                                                          new_names names);

/// An event of a stream with its type, as server-sent events have it.
[[nodiscard]] std::string typed_event(std::string_view type, const json& data);

/// A tool as a chat has it. `schema`: null for one without parameters.
[[nodiscard]] ordered_json chat_tool(const std::string& name, const ordered_json& description,
                                     const ordered_json& schema);
/// A call as a chat has it. `arguments`: JSON.
[[nodiscard]] ordered_json chat_call_of(const std::string& id, const std::string& name,
                                        const std::string& arguments);

} // namespace ovir::gateway
