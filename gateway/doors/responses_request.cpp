#include "gateway/doors/responses_request.hpp"

#include "gateway/http/event_id.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view response_prefix = "resp_";
constexpr std::size_t responses_text_max = limits::http_body_mib_bound << 20U;

/// Writes the messages of a chat out of input items.
class responses_conversation {
public:
  explicit responses_conversation(parameters& all) : all_(all) {}

  /// Messages of an earlier response: as this class wrote them.
  void begin_with(ordered_json messages);
  void add(const json& input);
  [[nodiscard]] ordered_json take() { return std::move(messages_); }

private:
  void add_item(const json& item, const std::string& at);
  void add_message(parameters& in, const std::string& at);
  void add_call(parameters& in);
  void add_output(parameters& in, const std::string& at);
  [[nodiscard]] std::string text_of(const json& value, std::string_view part_type,
                                    const std::string& at);
  void refuse(const std::string& at, std::string_view why);

  parameters& all_;
  ordered_json messages_ = ordered_json::array();
  std::map<std::string, bool> calls_; ///< by id, and whether there is an output
};

void responses_conversation::refuse(const std::string& at, std::string_view why) {
  all_.refuse(bad_parameter(at, fmt::format("'{}' {}", at, why)));
}

void responses_conversation::begin_with(ordered_json messages) {
  for (const ordered_json& message : messages) {
    for (const ordered_json& call : message.value("tool_calls", ordered_json::array())) {
      calls_[call.at("id").get<std::string>()] = false;
    }
    if (message.contains("tool_call_id")) {
      calls_[message["tool_call_id"].get<std::string>()] = true;
    }
  }
  messages_ = std::move(messages);
}

/// A text, or a list of parts of this type.
std::string responses_conversation::text_of(const json& value, std::string_view part_type,
                                            const std::string& at) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    refuse(at, value.is_null() ? "is missing" : "must be a text or a list of parts");
    return {};
  }
  std::string text;
  for (std::size_t i = 0; i < value.size() && !all_.failure(); ++i) {
    const std::string where = fmt::format("{}[{}]", at, i);
    if (!value[i].is_object()) {
      refuse(where, "must be an object");
      break;
    }
    parameters part{value[i], where + "."};
    part.only("type", std::string{part_type}, "only text is understood");
    text += part.text("text", responses_text_max);
    static_cast<void>(part.raw("annotations")); // of an answer that is sent back
    static_cast<void>(part.raw("logprobs"));
    part.done();
    if (part.failure()) {
      all_.refuse(*part.failure());
    }
  }
  return text;
}

void responses_conversation::add_message(parameters& in, const std::string& at) {
  const std::string role = in.text("role", limits::api_name_bytes_max);
  if (!in.failure() && role != "user" && role != "assistant" && role != "system" &&
      role != "developer") {
    in.refuse("role", "must be user, assistant, system or developer");
  }
  const std::string text = text_of(
      in.raw("content"), role == "assistant" ? "output_text" : "input_text", at + ".content");
  messages_.push_back({{"role", role}, {"content", text}});
}

/// Calls and what was said before them are one message of the assistant.
void responses_conversation::add_call(parameters& in) {
  const std::string id = in.text("call_id", limits::api_name_bytes_max);
  const std::string name = in.text("name", limits::constraint_name_bytes_max);
  const std::string arguments = in.text("arguments", responses_text_max);
  if (!in.failure() && !calls_.emplace(id, false).second) {
    in.refuse("call_id", "is that of an earlier call");
  }
  if (in.failure()) {
    return;
  }
  if (messages_.empty() || messages_.back()["role"] != "assistant") {
    messages_.push_back({{"role", "assistant"}});
  }
  ordered_json& last = messages_.back();
  if (!last.contains("tool_calls")) {
    last["tool_calls"] = ordered_json::array();
  }
  last["tool_calls"].push_back(chat_call_of(id, name, arguments));
}

void responses_conversation::add_output(parameters& in, const std::string& at) {
  const std::string id = in.text("call_id", limits::api_name_bytes_max);
  const std::string text = text_of(in.raw("output"), "input_text", at + ".output");
  if (in.failure()) {
    return;
  }
  const auto call = calls_.find(id);
  if (call == calls_.end() || call->second) {
    return in.refuse("call_id", call == calls_.end() ? "is of no call in this conversation"
                                                     : "is of a call that has an output already");
  }
  call->second = true;
  messages_.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", text}});
}

void responses_conversation::add_item(const json& item, const std::string& at) {
  if (!item.is_object()) {
    return refuse(at, "must be an object");
  }
  parameters in{item, at + "."};
  const std::string type = in.text("type", limits::api_name_bytes_max, "message");
  static_cast<void>(in.text("id", limits::api_name_bytes_max, "")); // of an answer sent back
  static_cast<void>(in.text("status", limits::api_name_bytes_max, ""));
  if (type == "message") {
    add_message(in, at);
  } else if (type == "function_call") {
    add_call(in);
  } else if (type == "function_call_output") {
    add_output(in, at);
  } else if (!in.failure()) {
    in.refuse(unsupported_parameter(
        at + ".type", fmt::format("there are messages, calls of functions and their outputs; no "
                                  "'{}'",
                                  type)));
  }
  in.done();
  if (in.failure()) {
    all_.refuse(*in.failure());
  }
}

void responses_conversation::add(const json& input) {
  if (input.is_string()) {
    messages_.push_back({{"role", "user"}, {"content", input.get<std::string>()}});
    return;
  }
  if (!input.is_array() || input.empty() || input.size() > limits::api_messages_max) {
    return refuse("input", input.is_null()
                               ? std::string{"is missing"}
                               : fmt::format("must be a text or a list of 1 to {} items",
                                             limits::api_messages_max));
  }
  for (std::size_t i = 0; i < input.size() && !all_.failure(); ++i) {
    add_item(input[i], fmt::format("input[{}]", i));
  }
}

void read_responses_tools(parameters& in, const ordered_json& written, ordered_json& out) {
  const json& list = in.raw("tools");
  if (list.is_null()) {
    return;
  }
  if (!list.is_array() || list.size() > limits::constraint_tools_max) {
    return in.refuse(
        "tools", fmt::format("must be a list of at most {} tools", limits::constraint_tools_max));
  }
  ordered_json tools = ordered_json::array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    if (!list[i].is_object()) {
      return in.refuse(bad_parameter(where, fmt::format("'{}' must be an object", where)));
    }
    parameters one{list[i], where + "."};
    one.only("type", "function", "the client runs its tools; there are none of the server");
    const std::string name = one.text("name", limits::constraint_name_bytes_max);
    static_cast<void>(one.text("description", responses_text_max, ""));
    static_cast<void>(one.boolean("strict", true)); // kept to either way
    if (const json& schema = one.raw("parameters"); !schema.is_null() && !schema.is_object()) {
      one.refuse("parameters", "must be a JSON schema");
    }
    one.done();
    if (one.failure()) {
      return in.refuse(*one.failure());
    }
    const ordered_json& tool = written.at("tools").at(i);
    tools.push_back(chat_tool(name, tool.value("description", ordered_json{}),
                              tool.value("parameters", ordered_json{})));
  }
  out["tools"] = std::move(tools);
}

void read_responses_choice(parameters& in, ordered_json& out) {
  const json& value = in.raw("tool_choice");
  if (value.is_object()) {
    parameters choice{value, "tool_choice."};
    choice.only("type", "function", "the client runs its tools");
    const std::string name = choice.text("name", limits::constraint_name_bytes_max);
    choice.done();
    if (choice.failure()) {
      return in.refuse(*choice.failure());
    }
    out["tool_choice"] = {{"type", "function"}, {"function", {{"name", name}}}};
  } else if (value.is_string()) {
    out["tool_choice"] = value.get<std::string>();
  } else if (!value.is_null()) {
    in.refuse("tool_choice", "must be none, auto, required or {\"type\": \"function\", \"name\"}");
  }
}

void read_responses_text(parameters& in, const ordered_json& written, ordered_json& out) {
  const json& value = in.raw("text");
  if (value.is_null()) {
    return;
  }
  if (!value.is_object()) {
    return in.refuse("text", "must be an object");
  }
  parameters text{value, "text."};
  text.only("verbosity", "medium", "the model chooses how much it says");
  if (const json& format = text.raw("format"); format.is_object()) {
    ordered_json form = written.at("text").at("format");
    if (format.value("type", json{}) == "json_schema") { // flat here, nested in a chat
      form.erase("type");
      out["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(form)}};
    } else {
      out["response_format"] = std::move(form);
    }
  } else if (!format.is_null()) {
    text.refuse("format", "must be an object");
  }
  text.done();
  if (text.failure()) {
    in.refuse(*text.failure());
  }
}

/// Without its content, if it says what happens anyway.
void refuse_thoughts(parameters& in) {
  const json& value = in.raw("reasoning");
  const bool says_nothing =
      value.is_null() ||
      (value.is_object() && std::all_of(value.begin(), value.end(), [](const json& one) {
         return one.is_null() || one == "none";
       }));
  if (!says_nothing) {
    in.refuse(
        unsupported_parameter("reasoning", "models here do not think apart from their answer"));
  }
}

void refuse_what_responses_have(parameters& in) {
  refuse_thoughts(in);
  in.only("truncation", "disabled", "a conversation that is too long is refused");
  in.only_empty("background", "the client waits for its answer");
  in.only_empty("conversation", "use 'previous_response_id'");
  in.only_empty("prompt", "there are no stored prompts");
  in.only_empty("max_tool_calls", "the client runs its tools");
  in.only_empty("top_logprobs", "are told at /v1/chat/completions");
  in.only_empty("context_management", "a conversation is used as it is sent");
  if (const json& list = in.raw("include"); !list.is_null()) {
    const bool told =
        list.is_array() && std::none_of(list.begin(), list.end(), [](const json& one) {
          return !one.is_string() || one == "message.output_text.logprobs";
        });
    if (!told) {
      in.refuse(unsupported_parameter("include", "logprobs are told at /v1/chat/completions"));
    }
  }
  if (const json& options = in.raw("stream_options"); options.is_object()) {
    parameters inner{options, "stream_options."};
    inner.only_empty("include_obfuscation", "nothing is padded here");
    inner.done();
    if (inner.failure()) {
      in.refuse(*inner.failure());
    }
  } else if (!options.is_null()) {
    in.refuse("stream_options", "must be an object");
  }
}

void begin_with_previous(parameters& in, const answer_shelf::owned& kept,
                         responses_conversation& said) {
  if (!in.has("previous_response_id")) {
    return;
  }
  const std::string name = in.text("previous_response_id", limits::api_name_bytes_max);
  const auto id = response_from(name);
  const auto found = id ? kept.find(*id) : kept.end();
  if (found == kept.end()) {
    api_error e = bad_parameter("previous_response_id",
                                "'previous_response_id': this node has no such response; it keeps "
                                "the latest ones, unless 'store' is false");
    e.code = "previous_response_not_found";
    return in.refuse(std::move(e));
  }
  said.begin_with(ordered_json::parse(found->second->conversation, nullptr, false));
}

/// What a response repeats, with the defaults of this API.
json echo_of(const json& document) {
  json echo{{"instructions", nullptr},
            {"max_output_tokens", nullptr},
            {"metadata", json::object()},
            {"parallel_tool_calls", true},
            {"previous_response_id", nullptr},
            {"store", true},
            {"temperature", 1.0},
            {"text", {{"format", {{"type", "text"}}}}},
            {"tool_choice", "auto"},
            {"tools", json::array()},
            {"top_p", 1.0},
            {"user", nullptr}};
  for (auto& [key, value] : echo.items()) {
    const auto found = document.find(key);
    if (found != document.end() && !found->is_null()) {
      value = *found;
    }
  }
  echo["background"] = false;
  echo["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
  echo["service_tier"] = "default";
  echo["truncation"] = "disabled";
  return echo;
}

} // namespace

std::string response_name(request_id id) { return std::string{response_prefix} + to_text(id); }

std::optional<request_id> response_from(std::string_view name) {
  if (!name.starts_with(response_prefix)) {
    return std::nullopt;
  }
  const auto id = request_id_from(name.substr(response_prefix.size()));
  return id ? std::optional{*id} : std::nullopt;
}

api_result<responses_request> read_responses(std::string_view body, std::chrono::milliseconds usual,
                                             const answer_shelf::owned& kept) {
  auto whole = door_body_from(body);
  if (auto* const refused = std::get_if<api_error>(&whole)) {
    return std::move(*refused);
  }
  const auto& [document, written] = std::get<door_body>(whole);
  parameters in{document};
  responses_request out;
  ordered_json chat{{"model", in.text("model", limits::api_name_bytes_max)}};
  responses_conversation said{in};
  begin_with_previous(in, kept, said);
  said.add(in.raw("input"));
  out.conversation = said.take();
  chat["messages"] = ordered_json::array();
  if (const std::string system = in.text("instructions", responses_text_max, ""); !system.empty()) {
    chat["messages"].push_back({{"role", "system"}, {"content", system}});
  }
  for (const ordered_json& message : out.conversation) {
    chat["messages"].push_back(message);
  }
  read_responses_tools(in, written, chat);
  read_responses_choice(in, chat);
  read_responses_text(in, written, chat);
  for (const std::string_view key :
       {"temperature", "top_p", "stream", "parallel_tool_calls", "metadata", "user",
        "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}) {
    pass(in, written, key, chat, key);
  }
  pass(in, written, "max_output_tokens", chat, "max_tokens");
  out.store = in.boolean("store", true);
  refuse_what_responses_have(in);
  pass_own(in, written, chat);
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  auto asked = request_from(api_kind::chat, chat, usual,
                            {{"max_tokens", "max_output_tokens"},
                             {"response_format", "text.format"},
                             {"messages", "input"}});
  if (auto* const refused = std::get_if<api_error>(&asked)) {
    return std::move(*refused);
  }
  out.asked = std::move(std::get<completion_request>(asked));
  if (out.asked.constraint_of == "response_format") {
    out.asked.constraint_of = "text.format";
  }
  out.echo = echo_of(document);
  return out;
}

} // namespace ovir::gateway
