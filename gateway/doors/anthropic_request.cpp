#include "gateway/doors/anthropic_request.hpp"

#include "gateway/doors/door_body.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <map>
#include <string>

namespace ovir::gateway {

namespace {

constexpr std::string_view line_between = "\n\n"; ///< texts that a client sent as blocks

/// Marks of a client for a cache: what was computed is kept either way.
void pass_over_marks(parameters& in) {
  static_cast<void>(in.raw("cache_control"));
  in.only_empty("citations", "no sources are cited");
}

/// Writes the messages of a chat out of those of Anthropic.
class anthropic_conversation {
public:
  explicit anthropic_conversation(parameters& all) : all_(all) {}

  void add_system(const json& value);
  void add(const json& message, const ordered_json& written, std::size_t i);
  /// The last message is the user's.
  void check_end();
  [[nodiscard]] ordered_json take() { return std::move(messages_); }

private:
  /// Parts of one message.
  struct content {
    std::string text{};
    bool has_text{false};
    ordered_json calls = ordered_json::array();
    ordered_json results = ordered_json::array();
  };

  [[nodiscard]] std::string text_of_blocks(const json& value, const std::string& where);
  /// `at`: what the block is called in errors.
  void read_block(const json& block, const ordered_json& written, const std::string& role,
                  const std::string& at, content& out);
  void read_use(parameters& in, const ordered_json& written, content& out);
  void read_result(parameters& in, const std::string& at, content& out);
  void refuse(const std::string& where, std::string_view why);

  parameters& all_;
  ordered_json messages_ = ordered_json::array();
  std::map<std::string, bool> used_; ///< ids of calls, and whether they have a result
};

void anthropic_conversation::refuse(const std::string& where, std::string_view why) {
  all_.refuse(bad_parameter(where, fmt::format("'{}' {}", where, why)));
}

/// A text, or a list of blocks of text.
std::string anthropic_conversation::text_of_blocks(const json& value, const std::string& where) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    refuse(where, value.is_null() ? "is missing" : "must be a text or a list of blocks");
    return {};
  }
  std::string text;
  for (std::size_t i = 0; i < value.size() && !all_.failure(); ++i) {
    const std::string at = fmt::format("{}[{}]", where, i);
    if (!value[i].is_object()) {
      refuse(at, "must be an object");
      break;
    }
    parameters in{value[i], at + "."};
    in.only("type", "text", "only text is understood");
    const std::string piece = in.text("text", limits::http_body_mib_bound << 20U);
    pass_over_marks(in);
    in.done();
    if (in.failure()) {
      all_.refuse(*in.failure());
    }
    text += (text.empty() || piece.empty() ? "" : std::string{line_between}) + piece;
  }
  return text;
}

void anthropic_conversation::add_system(const json& value) {
  if (value.is_null()) {
    return;
  }
  const std::string text = text_of_blocks(value, "system");
  if (!text.empty()) {
    messages_.push_back({{"role", "system"}, {"content", text}});
  }
}

void anthropic_conversation::read_use(parameters& in, const ordered_json& written, content& out) {
  const std::string id = in.text("id", limits::api_name_bytes_max);
  const std::string name = in.text("name", limits::constraint_name_bytes_max);
  const json& input = in.raw("input");
  if (!input.is_object()) {
    in.refuse("input", input.is_null() ? "is missing" : "must be an object");
  }
  if (!in.failure() && !used_.emplace(id, false).second) {
    in.refuse("id", "is that of an earlier call");
  }
  if (!in.failure()) {
    out.calls.push_back(chat_call_of(id, name, dumped(written.at("input"))));
  }
}

void anthropic_conversation::read_result(parameters& in, const std::string& at, content& out) {
  const std::string id = in.text("tool_use_id", limits::api_name_bytes_max);
  const bool failed = in.boolean("is_error", false);
  const json& value = in.raw("content");
  const std::string text = value.is_null() ? std::string{} : text_of_blocks(value, at + ".content");
  if (in.failure() || all_.failure()) {
    return;
  }
  const auto use = used_.find(id);
  if (use == used_.end() || use->second) {
    return in.refuse("tool_use_id", use == used_.end() ? "is of no call in this conversation"
                                                       : "is of a call that has a result already");
  }
  if (out.has_text) {
    return in.refuse("type", "'tool_result' must stand before the message's text");
  }
  use->second = true;
  out.results.push_back(
      {{"role", "tool"}, {"tool_call_id", id}, {"content", (failed ? "Error: " : "") + text}});
}

void anthropic_conversation::read_block(const json& block, const ordered_json& written,
                                        const std::string& role, const std::string& at,
                                        content& out) {
  if (!block.is_object()) {
    return refuse(at, "must be an object");
  }
  parameters in{block, at + "."};
  const std::string type = in.text("type", limits::api_name_bytes_max);
  pass_over_marks(in);
  if (type == "text") {
    const std::string piece = in.text("text", limits::http_body_mib_bound << 20U);
    out.text += (out.has_text ? std::string{line_between} : "") + piece;
    out.has_text = true;
  } else if (type == "tool_use" && role == "assistant") {
    read_use(in, written, out);
  } else if (type == "tool_result" && role == "user") {
    read_result(in, at, out);
  } else if (!in.failure()) {
    in.refuse(unsupported_parameter(
        at + ".type", fmt::format("a message of the {} has only text and {}, not '{}'", role,
                                  role == "user" ? "results of tools" : "calls of tools", type)));
  }
  in.done();
  if (in.failure()) {
    all_.refuse(*in.failure());
  }
}

void anthropic_conversation::add(const json& message, const ordered_json& written, std::size_t i) {
  const std::string where = fmt::format("messages[{}]", i);
  if (!message.is_object()) {
    return refuse(where, "must be an object");
  }
  parameters in{message, where + "."};
  const std::string role = in.text("role", limits::api_name_bytes_max);
  if (!in.failure() && role != "user" && role != "assistant") {
    in.refuse("role", "must be user or assistant; what the system says is 'system'");
  }
  const json& value = in.raw("content");
  content out;
  if (value.is_string()) {
    out.text = value.get<std::string>();
    out.has_text = true;
  } else if (!value.is_array() || value.empty()) {
    in.refuse("content", value.is_null() ? "is missing" : "must be a text or a list of blocks");
  }
  in.done();
  if (in.failure()) {
    return all_.refuse(*in.failure());
  }
  for (std::size_t k = 0; value.is_array() && k < value.size() && !all_.failure(); ++k) {
    read_block(value[k], written.at("content").at(k), role, fmt::format("{}.content[{}]", where, k),
               out);
  }
  if (all_.failure()) {
    return;
  }
  for (ordered_json& result : out.results) {
    messages_.push_back(std::move(result));
  }
  ordered_json said{{"role", role}};
  if (out.has_text) {
    said["content"] = out.text;
  }
  if (!out.calls.empty()) {
    said["tool_calls"] = std::move(out.calls);
  }
  if (said.size() > 1) {
    messages_.push_back(std::move(said));
  }
}

void anthropic_conversation::check_end() {
  if (!all_.failure() && !messages_.empty() && messages_.back()["role"] == "assistant") {
    all_.refuse(unsupported_parameter(
        "messages", "the last message must be the user's: answers cannot be begun for the model"));
  }
}

void read_anthropic_tools(parameters& in, const ordered_json& written, ordered_json& out) {
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
      return in.refuse(where, "must be an object");
    }
    parameters one{list[i], where + "."};
    one.only("type", "custom", "the client runs its tools; there are none of the server");
    const std::string name = one.text("name", limits::constraint_name_bytes_max);
    static_cast<void>(one.text("description", limits::http_body_mib_bound << 20U, ""));
    if (!one.raw("input_schema").is_object()) {
      one.refuse("input_schema", "must be a JSON schema");
    }
    static_cast<void>(one.raw("cache_control"));
    static_cast<void>(one.boolean("strict", true)); // kept to either way
    static_cast<void>(one.boolean("eager_input_streaming", true));
    one.only_empty("defer_loading", "all tools are told at once");
    one.only_empty("input_examples", "chat formats here have no place for examples");
    one.only("allowed_callers", json::array({"direct"}), "the model alone calls");
    one.done();
    if (one.failure()) {
      return in.refuse(*one.failure());
    }
    const ordered_json& tool = written.at("tools").at(i);
    tools.push_back(
        chat_tool(name, tool.value("description", ordered_json{}), tool.at("input_schema")));
  }
  out["tools"] = std::move(tools);
}

void read_anthropic_choice(parameters& in, ordered_json& out) {
  const json& value = in.raw("tool_choice");
  if (value.is_null()) {
    return;
  }
  if (!value.is_object()) {
    return in.refuse("tool_choice", "must be an object");
  }
  parameters choice{value, "tool_choice."};
  const std::string type = choice.text("type", limits::api_name_bytes_max);
  if (type == "auto" || type == "none") {
    out["tool_choice"] = type;
  } else if (type == "any") {
    out["tool_choice"] = "required";
  } else if (type == "tool") {
    const std::string name = choice.text("name", limits::constraint_name_bytes_max);
    out["tool_choice"] = {{"type", "function"}, {"function", {{"name", name}}}};
  } else if (!choice.failure()) {
    choice.refuse("type", "must be auto, any, tool or none");
  }
  if (choice.boolean("disable_parallel_tool_use", false)) {
    out["parallel_tool_calls"] = false;
  }
  choice.done();
  if (choice.failure()) {
    in.refuse(*choice.failure());
  }
}

/// {"format": {"type": "json_schema", "schema"}}
void read_anthropic_output(parameters& in, const ordered_json& written, ordered_json& out) {
  const json& value = in.raw("output_config");
  if (value.is_null()) {
    return;
  }
  if (!value.is_object()) {
    return in.refuse("output_config", "must be an object");
  }
  parameters config{value, "output_config."};
  config.only_empty("effort", "models here do not think apart from their answer");
  if (const json& format = config.raw("format"); !format.is_null()) {
    if (!format.is_object() || format.size() != 2 ||
        format.value("type", json{}) != "json_schema" || !format.contains("schema") ||
        !format["schema"].is_object()) {
      config.refuse("format", "must be {\"type\": \"json_schema\", \"schema\": {...}}");
    } else {
      out["response_format"] = {
          {"type", "json_schema"},
          {"json_schema",
           {{"name", "answer"},
            {"schema", written.at("output_config").at("format").at("schema")}}}};
    }
  }
  config.done();
  if (config.failure()) {
    in.refuse(*config.failure());
  }
}

void read_anthropic_numbers(parameters& in, const ordered_json& written, bool count,
                            ordered_json& out) {
  if (!count || in.has("max_tokens")) {
    out["max_tokens"] = in.whole("max_tokens", 1, limits::context_max, 1);
    if (!in.has("max_tokens")) {
      in.refuse("max_tokens", "is missing");
    }
  }
  static_cast<void>(in.number("temperature", 0, 1, 1));
  pass(in, written, "temperature", out, "temperature");
  pass(in, written, "top_p", out, "top_p");
  pass(in, written, "top_k", out, "top_k");
  pass(in, written, "stop_sequences", out, "stop");
  if (in.has("stop_sequences") && !in.raw("stop_sequences").is_array()) {
    in.refuse("stop_sequences", "must be a list of texts");
  }
  pass(in, written, "stream", out, "stream");
}

void refuse_what_messages_have(parameters& in) {
  if (const json& thinking = in.raw("thinking");
      !thinking.is_null() && thinking != json{{"type", "disabled"}}) {
    in.refuse(unsupported_parameter("thinking", "models here do not think apart from their answer; "
                                                "leave it out or say {\"type\": \"disabled\"}"));
  }
  const json& notes = in.raw("metadata"); // of the client's, and not kept
  if (!notes.is_null() && (!notes.is_object() || notes.size() > limits::api_metadata_max)) {
    in.refuse("metadata",
              fmt::format("must be an object of at most {} members", limits::api_metadata_max));
  }
  in.only_one_of("service_tier", {"auto", "standard_only"}, "there are no tiers");
  static_cast<void>(in.raw("cache_control"));
  in.only_empty("mcp_servers", "the client runs its tools");
  in.only_empty("container", "no code is run");
  in.only_empty("context_management", "a conversation is used as it is sent");
  in.only_empty("inference_geo", "there is no choice of places");
  in.only_empty("betas", "no features of tests are there");
}

} // namespace

api_result<completion_request> read_anthropic_messages(std::string_view body, bool count,
                                                       std::chrono::milliseconds usual) {
  auto whole = door_body_from(body);
  if (auto* const refused = std::get_if<api_error>(&whole)) {
    return std::move(*refused);
  }
  const auto& [document, written] = std::get<door_body>(whole);
  parameters in{document};
  ordered_json chat{{"model", in.text("model", limits::api_name_bytes_max)}};
  anthropic_conversation said{in};
  said.add_system(in.raw("system"));
  const json& list = in.raw("messages");
  if (!list.is_array() || list.empty() || list.size() > limits::api_messages_max) {
    in.refuse("messages",
              fmt::format("must be a list of 1 to {} messages", limits::api_messages_max));
  }
  for (std::size_t i = 0; list.is_array() && i < list.size() && !in.failure(); ++i) {
    said.add(list[i], written.at("messages").at(i), i);
  }
  said.check_end();
  chat["messages"] = said.take();
  read_anthropic_tools(in, written, chat);
  read_anthropic_choice(in, chat);
  read_anthropic_output(in, written, chat);
  read_anthropic_numbers(in, written, count, chat);
  refuse_what_messages_have(in);
  pass_own(in, written, chat);
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  auto request =
      request_from(api_kind::chat, chat, usual,
                   {{"stop", "stop_sequences"}, {"response_format", "output_config.format"}});
  if (auto* const read = std::get_if<completion_request>(&request)) {
    if (read->constraint_of == "response_format") {
      read->constraint_of = "output_config.format";
    }
  }
  return request;
}

} // namespace ovir::gateway
