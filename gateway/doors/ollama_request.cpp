#include "gateway/doors/ollama_request.hpp"

#include "gateway/doors/door_body.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace ovir::gateway {

namespace {

constexpr std::size_t ollama_text_max = limits::http_body_mib_bound << 20U;
// As of Ollama's own documentation of its parameters.
constexpr double ollama_temperature = 0.8;
constexpr std::uint64_t ollama_top_k = 40;
constexpr double ollama_top_p = 0.9;

std::string without_tag(std::string name) {
  constexpr std::string_view latest = ":latest";
  if (name.ends_with(latest)) {
    name.resize(name.size() - latest.size());
  }
  return name;
}

/// A call that waits for its result: they have no ids here, so results come in the calls' order.
struct open_call {
  std::string id;
  std::string name;
};

class ollama_conversation {
public:
  explicit ollama_conversation(parameters& all) : all_(all) {}

  void add(const json& message, const ordered_json& written, std::size_t i);
  [[nodiscard]] ordered_json take() { return std::move(messages_); }

private:
  [[nodiscard]] ordered_json calls_of(parameters& in, const ordered_json& written);
  [[nodiscard]] std::string answered(parameters& in);

  parameters& all_;
  ordered_json messages_ = ordered_json::array();
  std::deque<open_call> open_;
  std::size_t calls_{0};
};

/// [{"function": {"name", "arguments": {...}}}]
ordered_json ollama_conversation::calls_of(parameters& in, const ordered_json& written) {
  const json& list = in.raw("tool_calls");
  constexpr std::string_view form =
      "must be a list of {\"function\": {\"name\", \"arguments\": {...}}}";
  ordered_json calls = ordered_json::array();
  if (!list.is_array() || list.size() > limits::constraint_tools_max) {
    in.refuse("tool_calls", std::string{form});
    return calls;
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& function =
        list[i].is_object() && list[i].contains("function") ? list[i]["function"] : json{};
    if (!function.is_object() || !function.value("name", json{}).is_string() ||
        !function.value("arguments", json{}).is_object() ||
        function["name"].get_ref<const std::string&>().size() > limits::constraint_name_bytes_max) {
      in.refuse("tool_calls", std::string{form});
      return calls;
    }
    open_.push_back({fmt::format("call_{}", calls_++), function["name"].get<std::string>()});
    calls.push_back(
        chat_call_of(open_.back().id, open_.back().name,
                     dumped(written.at("tool_calls").at(i).at("function").at("arguments"))));
  }
  return calls;
}

/// The call that a result is of: the first one open, or of the tool it names.
std::string ollama_conversation::answered(parameters& in) {
  const std::string name = in.text("tool_name", limits::constraint_name_bytes_max,
                                   in.text("name", limits::constraint_name_bytes_max, ""));
  auto call = open_.begin();
  while (call != open_.end() && !name.empty() && call->name != name) {
    ++call;
  }
  if (call == open_.end()) {
    in.refuse("role", name.empty() ? "'tool' answers no call in this conversation"
                                   : fmt::format("'tool' answers no call of '{}'",
                                                 name.substr(0, limits::api_name_bytes_max)));
    return {};
  }
  const std::string id = call->id;
  open_.erase(call);
  return id;
}

void ollama_conversation::add(const json& message, const ordered_json& written, std::size_t i) {
  const std::string where = fmt::format("messages[{}]", i);
  if (!message.is_object()) {
    return all_.refuse(bad_parameter(where, fmt::format("'{}' must be an object", where)));
  }
  parameters in{message, where + "."};
  const std::string role = in.text("role", limits::api_name_bytes_max);
  if (!in.failure() && role != "system" && role != "user" && role != "assistant" &&
      role != "tool") {
    in.refuse("role", "must be system, user, assistant or tool");
  }
  ordered_json out{{"role", role}, {"content", in.text("content", ollama_text_max, "")}};
  if (role == "assistant" && in.has("tool_calls") && !in.raw("tool_calls").empty()) {
    out["tool_calls"] = calls_of(in, written);
  } else {
    in.only_empty("tool_calls", "are of the assistant");
  }
  if (role == "tool") {
    static_cast<void>(in.text("tool_call_id", limits::api_name_bytes_max, ""));
    out["tool_call_id"] = answered(in);
  }
  in.only_empty("images", "only text is understood");
  in.only_empty("thinking", "chat formats here have no place for thoughts");
  in.done();
  if (in.failure()) {
    return all_.refuse(*in.failure());
  }
  messages_.push_back(std::move(out));
}

/// Settings of a runner on one machine, which change no token.
void pass_over_runner(parameters& options) {
  for (const char* const key :
       {"num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "use_mmap",
        "use_mlock", "low_vram", "f16_kv", "vocab_only"}) {
    static_cast<void>(options.raw(key));
  }
}

void refuse_samplers(parameters& options) {
  options.only("repeat_last_n", 64, "penalties look at the last 64 tokens");
  options.only_empty("mirostat", "there is no such sampler");
  static_cast<void>(options.raw("mirostat_tau")); // say nothing without it
  static_cast<void>(options.raw("mirostat_eta"));
  options.only("tfs_z", 1, "there is no such sampler");
  options.only("typical_p", 1, "there is no such sampler");
  static_cast<void>(options.boolean("penalize_newline", true));
}

void read_ollama_options(parameters& in, const ordered_json& written, ordered_json& out) {
  out["temperature"] = ollama_temperature;
  out["top_k"] = ollama_top_k;
  out["top_p"] = ollama_top_p;
  const json& value = in.raw("options");
  if (value.is_null()) {
    return;
  }
  if (!value.is_object()) {
    return in.refuse("options", "must be an object");
  }
  const ordered_json& as_written = written.at("options");
  parameters options{value, "options."};
  for (const std::string_view key : {"temperature", "top_k", "top_p", "min_p", "repeat_penalty",
                                     "presence_penalty", "frequency_penalty", "stop"}) {
    pass(options, as_written, key, out, key);
  }
  const json& seed = options.raw("seed");
  if (seed.is_number_unsigned() || (!seed.is_null() && !seed.is_number_integer())) {
    pass(options, as_written, "seed", out, "seed"); // a negative one means any
  }
  const json& most = options.raw("num_predict");
  if (!most.is_null() && !most.is_number_integer()) {
    options.refuse("num_predict", "must be a whole number");
  } else if (most.is_number_unsigned()) { // a negative one means as many as there is room for
    static_cast<void>(options.whole("num_predict", 1, limits::context_max, 1));
    pass(options, as_written, "num_predict", out, "max_tokens");
  }
  pass_over_runner(options);
  refuse_samplers(options);
  options.done();
  if (options.failure()) {
    in.refuse(*options.failure());
  }
}

/// "json" or a schema.
void read_ollama_format(parameters& in, const ordered_json& written, ordered_json& out) {
  const json& format = in.raw("format");
  if (format.is_null() || format == "") {
    return;
  }
  if (format == "json") {
    out["response_format"] = {{"type", "json_object"}};
  } else if (format.is_object()) {
    out["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"name", "answer"}, {"schema", written.at("format")}}}};
  } else {
    in.refuse("format", "must be \"json\" or a JSON schema");
  }
}

void read_ollama_common(parameters& in, const ordered_json& written, ordered_json& out) {
  out["stream"] = in.boolean("stream", true);
  read_ollama_options(in, written, out);
  read_ollama_format(in, written, out);
  static_cast<void>(in.raw("keep_alive")); // models stay where the swarm has placed them
  in.only_one_of("think", {false, "none"}, "models here do not think apart from their answer");
  in.only_empty("logprobs", "are told at /v1/chat/completions");
  in.only_empty("top_logprobs", "are told at /v1/chat/completions");
  pass_own(in, written, out);
}

void read_ollama_chat(parameters& in, const ordered_json& written, ordered_json& out,
                      ollama_request& request) {
  const json& list = in.raw("messages");
  if (list.is_null() || (list.is_array() && list.empty())) {
    request.model_alone = true;
  } else if (!list.is_array() || list.size() > limits::api_messages_max) {
    in.refuse("messages",
              fmt::format("must be a list of at most {} messages", limits::api_messages_max));
  } else {
    ollama_conversation said{in};
    for (std::size_t i = 0; i < list.size() && !in.failure(); ++i) {
      said.add(list[i], written.at("messages").at(i), i);
    }
    out["messages"] = said.take();
  }
  pass(in, written, "tools", out, "tools");
  read_ollama_common(in, written, out);
}

/// `raw`: the prompt as it is, perhaps with what stands behind a gap; else it is what a user says.
void read_ollama_prompt(parameters& in, const ordered_json& written, bool raw, ordered_json& out,
                        ollama_request& request) {
  const std::string prompt = in.text("prompt", ollama_text_max, "");
  const std::string system = in.text("system", ollama_text_max, "");
  request.model_alone = prompt.empty() && !in.has("suffix");
  if (raw) {
    out["prompt"] = prompt;
    pass(in, written, "suffix", out, "suffix");
    if (!system.empty()) {
      in.refuse(unsupported_parameter("system", "a raw prompt is all the model reads"));
    }
  } else {
    out["messages"] = ordered_json::array();
    if (!system.empty()) {
      out["messages"].push_back({{"role", "system"}, {"content", system}});
    }
    out["messages"].push_back({{"role", "user"}, {"content", prompt}});
  }
  in.only_empty("images", "only text is understood");
  in.only_empty("template", "a model's own chat template is used");
  in.only_empty("context", "send the conversation to /api/chat");
  read_ollama_common(in, written, out);
}

void read_ollama_texts(parameters& in, const ordered_json& written, ollama_task task,
                       ordered_json& out) {
  if (task == ollama_task::embed) {
    pass(in, written, "input", out, "input");
    in.only("truncate", true, "a text that is too long is refused");
  } else {
    out["input"] = in.text("prompt", ollama_text_max);
  }
  pass(in, written, "dimensions", out, "dimensions");
  static_cast<void>(in.raw("keep_alive"));
  static_cast<void>(in.raw("options"));
  pass(in, written, "pooling", out, "pooling");
  for (const std::string_view key : {"deadline_ms", "priority", "privacy", "tier"}) {
    pass(in, written, key, out, key);
  }
}

void read_ollama_model_alone(parameters& in) {
  for (const char* const key : {"stream", "verbose", "insecure"}) {
    static_cast<void>(in.boolean(key, true));
  }
  for (const char* const key : {"system", "template", "options"}) {
    in.only_empty(key, "a model is shown as its file has it");
  }
}

/// Ollama's clients call a model "model", or "name" of old.
std::string model_of(parameters& in) {
  const std::string older = in.text("name", limits::api_name_bytes_max, "");
  return older.empty() ? in.text("model", limits::api_name_bytes_max)
                       : in.text("model", limits::api_name_bytes_max, older);
}

/// Writes what a body asks for as the body of a request of the kind that is returned.
api_kind read_ollama_task(parameters& in, const ordered_json& written, ollama_task task,
                          ordered_json& out, ollama_request& request) {
  switch (task) {
  case ollama_task::chat: read_ollama_chat(in, written, out, request); break;
  case ollama_task::generate: {
    const bool fills = !in.text("suffix", ollama_text_max, "").empty();
    const bool raw = in.boolean("raw", false) || fills;
    read_ollama_prompt(in, written, raw, out, request);
    return raw ? api_kind::completion : api_kind::chat;
  }
  case ollama_task::embed:
  case ollama_task::embeddings:
    read_ollama_texts(in, written, task, out);
    return api_kind::embedding;
  case ollama_task::show:
  case ollama_task::pull:
    request.model_alone = true;
    read_ollama_model_alone(in);
    request.asked.stream = in.boolean("stream", true);
    break;
  }
  return api_kind::chat;
}

} // namespace

api_result<ollama_request> read_ollama(ollama_task task, std::string_view body,
                                       std::chrono::milliseconds usual) {
  auto whole = door_body_from(body);
  if (auto* const refused = std::get_if<api_error>(&whole)) {
    return std::move(*refused);
  }
  const auto& [document, written] = std::get<door_body>(whole);
  parameters in{document};
  ollama_request request;
  request.called = model_of(in);
  ordered_json chat{{"model", without_tag(request.called)}};
  const api_kind kind = read_ollama_task(in, written, task, chat, request);
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  if (request.model_alone) {
    request.asked.model = chat["model"];
    request.asked.stream = chat.value("stream", request.asked.stream);
    return request;
  }
  auto asked = request_from(kind, chat, usual,
                            {{"temperature", "options.temperature"},
                             {"top_k", "options.top_k"},
                             {"top_p", "options.top_p"},
                             {"min_p", "options.min_p"},
                             {"repeat_penalty", "options.repeat_penalty"},
                             {"presence_penalty", "options.presence_penalty"},
                             {"frequency_penalty", "options.frequency_penalty"},
                             {"seed", "options.seed"},
                             {"stop", "options.stop"},
                             {"max_tokens", "options.num_predict"},
                             {"response_format", "format"}});
  if (auto* const refused = std::get_if<api_error>(&asked)) {
    return std::move(*refused);
  }
  request.asked = std::move(std::get<completion_request>(asked));
  if (request.asked.constraint_of == "response_format") {
    request.asked.constraint_of = "format";
  }
  return request;
}

} // namespace ovir::gateway
