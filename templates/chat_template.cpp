#include "templates/chat_template.hpp"

#include "templates/parser.hpp"

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

result<std::vector<token_id>> encode(const compute::tokenizer& vocabulary,
                                     const marked_text& prompt) {
  OVIR_ASSIGN(std::vector<token_id> ids,
              vocabulary.encode(prompt.bytes(), {.add_bos = false,
                                                 .parse_special = true,
                                                 .outside = prompt.authors()}));
  if (vocabulary.adds_bos() && (ids.empty() || ids.front() != vocabulary.bos())) {
    ids.insert(ids.begin(), *vocabulary.bos());
  }
  return ids;
}

} // namespace ovir::templates
