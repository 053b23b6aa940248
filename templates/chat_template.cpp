#include "templates/chat_template.hpp"

#include "messages/limits/general.hpp"
#include "templates/parser.hpp"

#include <algorithm>

namespace ovir::templates {

value message(std::string_view role, std::string_view content) {
  dict_value members;
  members.set(value::text("role"), value::text(role));
  members.set(value::text("content"), value::outside(content));
  return value::dict(std::move(members));
}

result<chat_template> chat_template::parse(std::string_view source,
                                           const compute::tokenizer& vocabulary) {
  OVIR_ASSIGN(syntax_tree tree, parse_template(source));
  chat_template made;
  made.tree_ = std::make_shared<const syntax_tree>(std::move(tree));
  const auto add = [&](std::string_view name, std::optional<token_id> id) {
    if (id) {
      made.tokens_.set(value::text(name), value::text(vocabulary.piece(*id, /*special=*/true)));
    }
  };
  add("bos_token", vocabulary.bos());
  add("eos_token", vocabulary.eos());
  return made;
}

result<chat_template> chat_template::of(const compute::gguf& file,
                                        const compute::tokenizer& vocabulary) {
  constexpr std::string_view key = "tokenizer.chat_template";
  if (file.find(key) == nullptr) {
    return fail(errc::unsupported, "the model's file has no chat template ({})", key);
  }
  OVIR_ASSIGN(const std::string_view source, file.text_at(key));
  return parse(source, vocabulary);
}

result<marked_text> chat_template::render(const chat_input& input) const {
  dict_value variables = tokens_;
  variables.set(value::text("messages"), input.messages);
  variables.set(value::text("tools"), input.tools);
  variables.set(value::text("documents"), none{});
  variables.set(value::text("add_generation_prompt"), value{input.add_generation_prompt});
  for (const auto& [name, v] : input.more) {
    variables.set(value::text(name), v);
  }
  return interpreter{*tree_, variables, input.now}.run();
}

namespace {

/// Where in the model's own words a control token is named, and which.
struct named_token {
  std::size_t at;
  std::size_t bytes;
  token_id id;
};

/// Names of control tokens in `words`, read as the tokenizer reads them: control tokens are those
/// that have no text unless they are asked for theirs.
result<std::vector<named_token>> named_in(const compute::tokenizer& vocabulary,
                                          const std::string& words) {
  std::vector<named_token> found;
  OVIR_ASSIGN(const std::vector<token_id> ids,
              vocabulary.encode(words, {.add_bos = false, .parse_special = true}));
  std::size_t from = 0;
  for (const token_id id : ids) {
    const std::string name = vocabulary.piece(id, /*special=*/true);
    if (name.empty() || !vocabulary.piece(id, /*special=*/false).empty()) {
      continue;
    }
    // An unknown token stands for bytes, too, and is then not named.
    const std::size_t at = words.find(name, from);
    if (at != std::string::npos) {
      found.push_back({at, name.size(), id});
      from = at + name.size();
    }
  }
  return found;
}

} // namespace

result<std::vector<token_id>> encode(const compute::tokenizer& vocabulary,
                                     const marked_text& prompt) {
  if (prompt.size() > limits::prompt_bytes_max) {
    return fail(errc::over_limit, "the conversation has {} bytes, at most {} are encoded at once",
                prompt.size(), limits::prompt_bytes_max);
  }
  std::vector<token_id> ids;
  const std::string& bytes = prompt.bytes();
  const std::string& authors = prompt.authors();
  std::size_t begin = 0; // of the text that is not encoded yet
  const auto encode_to = [&](std::size_t end) -> result<void> {
    if (begin < end) {
      OVIR_ASSIGN(const std::vector<token_id> more,
                  vocabulary.encode(std::string_view{bytes}.substr(begin, end - begin),
                                    {.add_bos = false, .parse_special = false}));
      ids.insert(ids.end(), more.begin(), more.end());
    }
    return {};
  };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(authors.find_first_not_of(authors[at], at), bytes.size());
    if (authors[at] == static_cast<char>(author::model)) {
      OVIR_ASSIGN(const std::vector<named_token> named,
                  named_in(vocabulary, bytes.substr(at, end - at)));
      for (const named_token& n : named) {
        OVIR_TRY(encode_to(at + n.at));
        ids.push_back(n.id);
        begin = at + n.at + n.bytes;
      }
    }
    at = end;
  }
  OVIR_TRY(encode_to(bytes.size()));
  if (vocabulary.adds_bos() && (ids.empty() || ids.front() != vocabulary.bos())) {
    ids.insert(ids.begin(), *vocabulary.bos());
  }
  return ids;
}

} // namespace ovir::templates
