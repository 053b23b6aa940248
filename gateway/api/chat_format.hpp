#pragma once

#include "compute/text/tokenizer.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/http/api_error.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// A piece of a rendered conversation. What people wrote is `text`, in which no special token is
/// read: nobody can end their own turn.
struct prompt_part {
  enum class kind : std::uint8_t {
    text,
    control, ///< the model's own words, which may name special tokens: "<|im_end|>"
    bos,     ///< the model's BOS, unless the prompt has it already
    eos
  };
  kind what{kind::text};
  std::string text{};
  friend bool operator==(const prompt_part&, const prompt_part&) = default;
};

/// How a model wants a conversation written down. The one seam behind which ways of rendering live.
class chat_format {
public:
  virtual ~chat_format() = default;
  /// The whole conversation and the beginning of the answer. Refuses roles and orders of messages
  /// that the format has no place for, naming the message.
  [[nodiscard]] virtual api_result<std::vector<prompt_part>>
  render(std::span<const chat_message> messages) const = 0;
  /// Whether the format has words of its own for tools, and writes calls as they are written here
  /// (`written_call`): else `without_tools` makes texts of them.
  [[nodiscard]] virtual bool writes_tools() const { return false; }
  /// The same with tools, calls and their results. `tools_text` as of a `completion_request`.
  /// Precondition: `writes_tools()`.
  [[nodiscard]] virtual api_result<std::vector<prompt_part>>
  render_with_tools(std::span<const chat_message> messages, std::string_view tools_text) const {
    static_cast<void>(tools_text);
    return render(messages);
  }
  /// What ends an answer; empty: only the model's EOS.
  [[nodiscard]] virtual std::string_view end_of_turn() const = 0;
};

/// The format called `declared`; of "auto" the one whose template this is, letter by letter, or
/// the template itself, rendered for `vocabulary`. `not_found` for a name that is none; what is
/// wrong with the template.
[[nodiscard]] result<std::shared_ptr<const chat_format>>
chat_format_for(std::string_view declared, std::string_view chat_template,
                const compute::tokenizer& vocabulary);

/// "auto" and the names of `chat_format_for`, for messages.
[[nodiscard]] std::string chat_format_names();
[[nodiscard]] bool is_chat_format(std::string_view name);

/// Tokens of a rendered conversation. Neighbouring texts are encoded together.
[[nodiscard]] result<std::vector<token_id>> encode_parts(const compute::tokenizer& vocabulary,
                                                         std::span<const prompt_part> parts);

} // namespace ovir::gateway
