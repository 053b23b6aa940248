#include "apps/ovir/learn/learn_data.hpp"

#include "apps/console.hpp"
#include "messages/limits/learning.hpp"
#include "templates/chat_template.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace ovir::apps {

namespace {

using learning::example;

/// What templates that write the date are rendered with, so that no example depends on the day:
/// 2025-01-01.
constexpr templates::civil_time learn_date{1'735'689'600};

std::size_t same_beginning(const std::vector<token_id>& a, const std::vector<token_id>& b) {
  const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end - a.begin());
}

/// Text of a field, or nothing where the object has none.
result<std::optional<std::string>> field_of(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) {
    return std::optional<std::string>{};
  }
  if (!at->is_string()) {
    return fail(errc::malformed, "\"{}\" is not a text", name);
  }
  return std::optional{at->get<std::string>()};
}

class example_reader {
public:
  example_reader(const ready_model& model, const learn_data_options& how)
      : model_(model), how_(how) {}

  result<example> read(std::string_view line);

private:
  result<example> text(const std::string& prompt, const std::string& completion) const;
  result<example> conversation(const json& messages);
  [[nodiscard]] result<std::vector<token_id>> rendered(std::span<const templates::value> messages,
                                                       bool answer_begins) const;

  const ready_model& model_;
  learn_data_options how_;
  std::optional<templates::chat_template> form_;
};

result<example> example_reader::read(std::string_view line) {
  if (line.size() > limits::learn_line_bytes_max) {
    return fail(errc::over_limit, "the line has {} bytes, and {} are allowed", line.size(),
                limits::learn_line_bytes_max);
  }
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) {
    return fail(errc::malformed, "this is no JSON object");
  }
  if (const auto messages = object.find("messages"); messages != object.end()) {
    return conversation(*messages);
  }
  OVIR_ASSIGN(const auto whole, field_of(object, "text"));
  if (whole) {
    return text("", *whole);
  }
  OVIR_ASSIGN(const auto prompt, field_of(object, "prompt"));
  OVIR_ASSIGN(const auto completion, field_of(object, "completion"));
  if (!prompt || !completion) {
    return fail(
        errc::malformed,
        "the object has neither \"messages\", nor \"prompt\" and \"completion\", nor \"text\"");
  }
  return text(*prompt, *completion);
}

// A token that the prompt alone would not have is part of the completion.
result<example> example_reader::text(const std::string& prompt,
                                     const std::string& completion) const {
  const compute::tokenizer& words = *model_.vocabulary;
  OVIR_ASSIGN(const std::vector<token_id> before, words.encode(prompt, {}));
  example out;
  OVIR_ASSIGN(out.ids, words.encode(prompt + completion, {}));
  if (const auto end = words.eos(); end && (out.ids.empty() || out.ids.back() != *end)) {
    out.ids.push_back(*end);
  }
  const std::size_t first = how_.train_prompts ? 0 : same_beginning(before, out.ids);
  out.counts.assign(out.ids.size(), 0);
  std::fill(out.counts.begin() + static_cast<std::ptrdiff_t>(first), out.counts.end(),
            std::uint8_t{1});
  return out;
}

result<std::vector<token_id>> example_reader::rendered(std::span<const templates::value> messages,
                                                       bool answer_begins) const {
  templates::chat_input input;
  input.messages = templates::value::list({messages.begin(), messages.end()});
  input.add_generation_prompt = answer_begins;
  input.now = learn_date;
  OVIR_ASSIGN(const templates::marked_text text, form_->render(input));
  return templates::encode(*model_.vocabulary, text);
}

// What an assistant says counts, and the tokens that end it: what follows the beginning of its
// answer up to where the next message begins.
result<example> example_reader::conversation(const json& messages) {
  if (!messages.is_array() || messages.empty() || messages.size() > limits::learn_turns_max) {
    return fail(errc::malformed, "\"messages\" is not a list of 1 to {} messages",
                limits::learn_turns_max);
  }
  if (!form_) {
    OVIR_ASSIGN(form_, templates::chat_template::of(model_.source.metadata, *model_.vocabulary));
  }
  constexpr std::array<std::string_view, 3> roles{"system", "user", "assistant"};
  std::vector<templates::value> said;
  std::vector<std::size_t> answers;
  for (const json& m : messages) {
    if (!m.is_object()) {
      return fail(errc::malformed, "a message is not an object");
    }
    OVIR_ASSIGN(const auto role, field_of(m, "role"));
    OVIR_ASSIGN(const auto content, field_of(m, "content"));
    if (!role || !content || std::find(roles.begin(), roles.end(), *role) == roles.end()) {
      return fail(errc::malformed,
                  "a message has a \"role\" (system, user or assistant) and a \"content\"");
    }
    if (*role == roles.back()) {
      answers.push_back(said.size());
    }
    said.push_back(templates::message(*role, *content));
  }
  example out;
  OVIR_ASSIGN(out.ids, rendered(said, false));
  out.counts.assign(out.ids.size(), how_.train_prompts ? 1 : 0);
  for (const std::size_t answer : answers) {
    const std::span<const templates::value> all{said};
    OVIR_ASSIGN(const auto before, rendered(all.first(answer), true));
    OVIR_ASSIGN(const auto through, rendered(all.first(answer + 1), false));
    const std::size_t first = same_beginning(before, out.ids);
    const std::size_t last = same_beginning(through, out.ids);
    for (std::size_t i = first; i < last; ++i) {
      out.counts[i] = 1;
    }
  }
  return out;
}

} // namespace

result<learn_examples> examples_from(std::string_view file, const ready_model& model,
                                     const learn_data_options& how) {
  learn_examples out;
  example_reader reader{model, how};
  std::uint64_t tokens = 0;
  for (std::size_t number = 1; !file.empty(); ++number) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    auto read = reader.read(line);
    if (!read) {
      error e = read.error();
      e.code = e.code == errc::invalid_argument ? errc::malformed : e.code; // the template refuses
      return in_context(fmt::format("line {}", number), e);
    }
    if (read->ids.size() > how.length) {
      read->ids.resize(how.length);
      read->counts.resize(how.length);
      ++out.cut;
    }
    if (!read->counts.empty()) {
      read->counts[0] = 0; // nothing predicts it
    }
    if (read->counted() == 0) {
      ++out.dropped;
      continue;
    }
    tokens += read->ids.size();
    if (out.examples.size() == limits::learn_examples_max || tokens > limits::learn_tokens_max) {
      return fail(errc::over_limit, "line {}: more than {} examples or {} tokens", number,
                  limits::learn_examples_max, limits::learn_tokens_max);
    }
    out.examples.push_back(std::move(*read));
  }
  return out;
}

} // namespace ovir::apps
