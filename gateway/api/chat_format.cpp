#include "gateway/api/chat_format.hpp"

#include "compute/text/constraint.hpp"
#include "gateway/api/tool_values.hpp"
#include "templates/chat_template.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::gateway {

namespace {

using kind = prompt_part::kind;
using parts = std::vector<prompt_part>;

api_error wrong_role(std::size_t i, std::string_view why) {
  const std::string name = fmt::format("messages[{}].role", i);
  return bad_parameter(name, fmt::format("'{}': {}", name, why));
}

std::string trimmed(const std::string& text) {
  constexpr std::string_view space = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(space);
  return first == std::string::npos ? std::string{}
                                    : text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// Qwen, Yi, SmolLM and many more.
class chatml final : public chat_format {
public:
  api_result<parts> render(std::span<const chat_message> messages) const override {
    parts out;
    for (const chat_message& m : messages) {
      out.push_back({kind::control, "<|im_start|>"});
      out.push_back({kind::text, m.role + "\n" + m.content});
      out.push_back({kind::control, "<|im_end|>"});
      out.push_back({kind::text, "\n"});
    }
    out.push_back({kind::control, "<|im_start|>"});
    out.push_back({kind::text, "assistant\n"});
    return out;
  }
  std::string_view end_of_turn() const override { return "<|im_end|>"; }
};

class llama_3 final : public chat_format {
public:
  api_result<parts> render(std::span<const chat_message> messages) const override {
    parts out{{kind::bos}};
    for (const chat_message& m : messages) {
      begin(out, m.role);
      out.push_back({kind::text, "\n\n" + trimmed(m.content)});
      out.push_back({kind::control, "<|eot_id|>"});
    }
    begin(out, "assistant");
    out.push_back({kind::text, "\n\n"});
    return out;
  }
  std::string_view end_of_turn() const override { return "<|eot_id|>"; }

private:
  static void begin(parts& out, const std::string& role) {
    out.push_back({kind::control, "<|start_header_id|>"});
    out.push_back({kind::text, role});
    out.push_back({kind::control, "<|end_header_id|>"});
  }
};

class llama_2 final : public chat_format {
public:
  api_result<parts> render(std::span<const chat_message> messages) const override {
    parts out;
    std::string system;
    std::size_t i = 0;
    if (messages.front().role == "system") {
      system = "<<SYS>>\n" + messages.front().content + "\n<</SYS>>\n\n";
      i = 1;
    }
    bool user = true;
    for (; i < messages.size(); ++i, user = !user) {
      const chat_message& m = messages[i];
      if (m.role != (user ? "user" : "assistant")) {
        return wrong_role(i, "this model's conversations begin with at most one system message, "
                             "then user and assistant take turns");
      }
      if (user) {
        out.push_back({kind::bos});
        out.push_back({kind::text, "[INST] " + trimmed(system + m.content) + " [/INST]"});
        system.clear();
      } else {
        out.push_back({kind::text, " " + trimmed(m.content) + " "});
        out.push_back({kind::eos});
      }
    }
    if (user) {
      return wrong_role(messages.size() - 1, "this model answers a user's message, which must be "
                                             "the last one");
    }
    return out;
  }
  std::string_view end_of_turn() const override { return {}; }
};

class zephyr final : public chat_format {
public:
  api_result<parts> render(std::span<const chat_message> messages) const override {
    parts out;
    for (const chat_message& m : messages) {
      out.push_back({kind::text, fmt::format("<|{}|>\n{}", m.role, m.content)});
      out.push_back({kind::eos});
      out.push_back({kind::text, "\n"});
    }
    out.push_back({kind::text, "<|assistant|>\n"});
    return out;
  }
  std::string_view end_of_turn() const override { return {}; }
};

/// The model inside the program.
class tales final : public chat_format {
public:
  api_result<parts> render(std::span<const chat_message> messages) const override {
    parts out{{kind::bos}};
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const chat_message& m = messages[i];
      if (m.role == "user") {
        out.push_back({kind::text, "User: " + m.content + "\nAssistant:"});
      } else if (m.role == "assistant") {
        out.push_back({kind::text, " " + m.content});
        out.push_back({kind::eos});
        out.push_back({kind::text, "\n"});
      } else {
        return wrong_role(i, "this model's conversations have no place for system messages");
      }
    }
    return out;
  }
  std::string_view end_of_turn() const override { return {}; }
};

/// Whatever the model's own template says.
class of_template final : public chat_format {
public:
  of_template(templates::chat_template form, std::string_view source)
      : form_(std::move(form)), writes_tools_(source.find("tools") != std::string_view::npos &&
                                              source.find(call_mark) != std::string_view::npos) {}

  api_result<parts> render(std::span<const chat_message> messages) const override {
    std::vector<templates::value> said;
    for (const chat_message& m : messages) {
      said.push_back(templates::message(m.role, m.content));
    }
    templates::chat_input input;
    input.messages = templates::value::list(std::move(said));
    return written(input);
  }
  bool writes_tools() const override { return writes_tools_; }
  api_result<parts> render_with_tools(std::span<const chat_message> messages,
                                      std::string_view tools_text) const override {
    templates::chat_input input;
    input.messages = conversation_value(messages);
    input.tools = tools_value(tools_text);
    return written(input);
  }
  // The tokens that end a turn are in the vocabulary.
  std::string_view end_of_turn() const override { return {}; }

private:
  api_result<parts> written(const templates::chat_input& input) const {
    const auto text = form_.render(input);
    if (!text) {
      return text.error().code == errc::invalid_argument
                 ? bad_parameter("messages", text.error().message)
                 : from_error(text.error(), "messages");
    }
    parts out;
    const std::string& authors = text->authors();
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t end = std::min(authors.find_first_not_of(authors[at], at), text->size());
      const bool own = authors[at] == static_cast<char>(templates::author::model);
      out.push_back({own ? kind::control : kind::text, text->bytes().substr(at, end - at)});
      at = end;
    }
    return out;
  }

  /// Templates write the line's end behind it as an escape.
  static constexpr std::string_view call_mark =
      compute::tool_call_open.substr(0, compute::tool_call_open.find('\n'));

  templates::chat_template form_;
  bool writes_tools_;
};

constexpr std::string_view chatml_template =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view chatml_template_defaulted =
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif "
    "%}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view llama_3_template =
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | "
    "trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% "
    "endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
constexpr std::string_view llama_3_template_always =
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | "
    "trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% "
    "endif %}{{ content }}{% endfor %}{{ "
    "'<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}";
constexpr std::string_view zephyr_template =
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + "
    "message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' "
    "+ message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ "
    "'<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and "
    "add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}";
constexpr std::string_view tales_template =
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ 'User: ' + m['content'] "
    "+ '\\nAssistant:' }}{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token + "
    "'\\n' }}{% endif %}{% endfor %}";

struct known_format {
  std::string_view name;
  std::shared_ptr<const chat_format> (*make)();
  std::array<std::string_view, 2> templates{};
};

template <class Format>
std::shared_ptr<const chat_format> make() {
  return std::make_shared<Format>();
}

constexpr std::array<known_format, 5> formats{{
    {"chatml", make<chatml>, {chatml_template, chatml_template_defaulted}},
    {"llama-2", make<llama_2>, {}},
    {"llama-3", make<llama_3>, {llama_3_template, llama_3_template_always}},
    {"zephyr", make<zephyr>, {zephyr_template}},
    {"tales", make<tales>, {tales_template}},
}};

} // namespace

result<std::shared_ptr<const chat_format>> chat_format_for(std::string_view declared,
                                                           std::string_view chat_template,
                                                           const compute::tokenizer& vocabulary) {
  const bool by_text = declared == "auto";
  const auto* const found =
      std::find_if(formats.begin(), formats.end(), [&](const known_format& f) {
        return by_text ? !chat_template.empty() && std::find(f.templates.begin(), f.templates.end(),
                                                             chat_template) != f.templates.end()
                       : f.name == declared;
      });
  if (found != formats.end()) {
    return found->make();
  }
  if (!by_text) {
    return fail(errc::not_found, "there is no chat format '{}'; there are {}", declared,
                chat_format_names());
  }
  if (chat_template.empty()) {
    return fail(errc::unsupported,
                "this model's file has no chat template; use /v1/completions, or let the operator "
                "declare gateway.chat_format");
  }
  auto form = templates::chat_template::parse(chat_template, vocabulary);
  if (!form) {
    error e = form.error();
    e.message = fmt::format("this model's chat template cannot be rendered here: {}; use "
                            "/v1/completions, or let the operator declare gateway.chat_format",
                            e.message);
    return e;
  }
  return std::shared_ptr<const chat_format>{
      std::make_shared<const of_template>(std::move(*form), chat_template)};
}

std::string chat_format_names() {
  std::string names = "auto";
  for (const known_format& f : formats) {
    names += fmt::format(", {}", f.name);
  }
  return names;
}

bool is_chat_format(std::string_view name) {
  return name == "auto" || std::any_of(formats.begin(), formats.end(),
                                       [&](const known_format& f) { return f.name == name; });
}

result<std::vector<token_id>> encode_parts(const compute::tokenizer& vocabulary,
                                           std::span<const prompt_part> all) {
  // Control tokens are named, so that texts beside them are cut as in one whole text.
  templates::marked_text whole;
  const auto name = [&](std::optional<token_id> id) {
    if (id) {
      whole.append(vocabulary.piece(*id, /*special=*/true), templates::author::model);
    }
  };
  for (const prompt_part& part : all) {
    switch (part.what) {
    case kind::text: whole.append(part.text, templates::author::outside); break;
    case kind::control: whole.append(part.text, templates::author::model); break;
    case kind::bos: name(vocabulary.bos()); break;
    case kind::eos: name(vocabulary.eos()); break;
    }
  }
  return templates::encode(vocabulary, whole);
}

} // namespace ovir::gateway
