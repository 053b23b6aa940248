#pragma once

#include "gateway/api/answer_form.hpp"
#include "gateway/http/api_error.hpp"
#include "messages/ids.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/request/request.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ovir::gateway {

enum class api_kind : std::uint8_t { completion, chat, embedding };

/// A call of a tool that an assistant made.
struct chat_call {
  std::string id;
  std::string name;
  std::string arguments; ///< JSON
  friend bool operator==(const chat_call&, const chat_call&) = default;
};

struct chat_message {
  std::string role; ///< "system", "user", "assistant" or "tool"
  std::string content;
  std::vector<chat_call> calls{}; ///< of an assistant
  std::string answers{};          ///< of a tool: the id of the call
  friend bool operator==(const chat_message&, const chat_message&) = default;
};

/// A text, or the tokens themselves.
using prompt_input = std::variant<std::string, std::vector<token_id>>;

/// The body of POST /v1/completions, /v1/chat/completions or /v1/embeddings. All a client sent is
/// in here or was refused; whether the model can do it is seen by `prepare`.
struct completion_request {
  api_kind kind{api_kind::completion};
  std::string model;
  std::vector<prompt_input> prompts;  ///< of a completion or embeddings, at least one
  std::vector<chat_message> messages; ///< of a chat, at least one
  request_terms asked; ///< less the model, the prompt, the seed and the tokens at most
  std::optional<std::uint64_t> seed;
  std::optional<std::uint32_t> max_tokens;
  speculation drafts{speculation::automatic};
  std::string constraint;    ///< members of a constraint, less its tokens; empty: none
  std::string constraint_of; ///< the parameter it comes from
  std::string tools_text;    ///< what may be called, a JSON object per line; empty: nothing
  std::uint32_t n{1};
  std::uint32_t best_of{1}; ///< of a completion: so many are made, and the `n` likeliest told
  std::string suffix{}; ///< of a completion: what stands behind the gap to be filled; empty: none
  bool echo{false};     ///< of a completion: its prompt is told in front of it
  bool stream{false};
  bool include_usage{false};
  bool base64{false}; ///< of embeddings alone: vectors as text of their bytes
  std::optional<std::uint32_t> dimensions{}; ///< of embeddings alone: elements; none: all
  std::chrono::milliseconds deadline;        ///< from start to end
  bool batch{false};                         ///< takes the time that others leave
  reveal_when reveal{reveal_when::at_once};
  privacy_mode privacy{privacy_mode::none};
  std::optional<tier_demand> tier{};
  std::shared_ptr<const answer_form> form{}; ///< null: as OpenAI's completions
};

/// Reads a body. Errors name the parameter.
[[nodiscard]] api_result<completion_request>
parse_completion(api_kind kind, std::string_view body,
                 std::chrono::milliseconds usual_deadline = limits::api_deadline_max);

} // namespace ovir::gateway
