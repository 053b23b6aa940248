#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "templates/interpreter.hpp"
#include "templates/syntax.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Conversations as prompts: the seam behind which templates are rendered.
namespace ovir::templates {

/// What a template is rendered with.
struct chat_input {
  /// A list of dictionaries with "role" and "content" at least; see `message`.
  value messages;
  value tools{none{}}; ///< a list of dictionaries, as in OpenAI's requests; none: there are none
  bool add_generation_prompt{true};
  /// Further variables: "enable_thinking", "documents" ...
  std::vector<std::pair<std::string, value>> more;
  /// For templates that write the date; they are refused without.
  std::optional<civil_time> now;
};

/// A message of a text. `role` becomes the model's own words, for templates write control tokens
/// with it ("<|user|>"): the caller lets in only roles that it knows. `content` stays text.
[[nodiscard]] value message(std::string_view role, std::string_view content);

/// A model's chat template: Jinja as Hugging Face's transformers render it (docs/formats/chat.md).
/// Immutable; may be used by any number of threads.
class chat_template {
public:
  /// Reads `source`; `vocabulary` says how BOS and EOS are written. `malformed`, `unsupported` or
  /// `over_limit`, with the line.
  [[nodiscard]] static result<chat_template> parse(std::string_view source,
                                                   const compute::tokenizer& vocabulary);
  /// The template of a model file. `unsupported` where it has none.
  [[nodiscard]] static result<chat_template> of(const compute::gguf& file,
                                                const compute::tokenizer& vocabulary);

  /// The whole conversation and, where `add_generation_prompt`, the beginning of the answer.
  /// `invalid_argument` with the template's own words where it refuses the messages (their order, a
  /// role); `malformed`, `unsupported`, `over_limit` for what is wrong with the template.
  [[nodiscard]] result<marked_text> render(const chat_input& input) const;

private:
  chat_template() = default;

  std::shared_ptr<const syntax_tree> tree_;
  dict_value tokens_; ///< bos_token, eos_token: as far as the vocabulary has them
};

/// Tokens of a rendered conversation: names of control tokens are read only where the model's own
/// file wrote them. BOS comes first where the model asks for it, and once. `over_limit`.
[[nodiscard]] result<std::vector<token_id>> encode(const compute::tokenizer& vocabulary,
                                                   const marked_text& prompt);

} // namespace ovir::templates
