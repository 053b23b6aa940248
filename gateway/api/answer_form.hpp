#pragma once

#include "gateway/api/generation_order.hpp"
#include "gateway/api/tool_call_reader.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/bounded_json.hpp"
#include "gateway/http/http_exchange.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// How an API beside OpenAI's completions tells an answer.
namespace ovir::gateway {

struct answer_shape;

/// What is known of an answer once it is over.
struct answer_end {
  finish_reason why{finish_reason::length};
  std::string stop; ///< the client's text that ended it; empty: none did
  std::uint64_t prompt_tokens{0};
  std::uint64_t tokens{0}; ///< drawn
  std::uint64_t cached{0}; ///< of the prompt, not computed again
  json evidence;           ///< "request", "transcript", "receipt"
  std::chrono::nanoseconds took{0};
  std::chrono::nanoseconds first{0}; ///< until the first token
  std::vector<float> vector{};       ///< of an embedding
};

/// What a gateway keeps of an answer for its client.
struct kept_answer {
  std::string body;         ///< as it was told
  std::string conversation; ///< messages of it and before it, as of a chat: JSON
};

/// Tells one answer. A core: what it returns is to be sent at once, in order.
class answer_voice {
public:
  virtual ~answer_voice() = default;

  /// More of the answer; the events for a client that streams.
  [[nodiscard]] virtual std::string add(const tool_call_reader::pieces& more) = 0;
  /// Its end, behind the last pieces.
  [[nodiscard]] virtual std::string finish(const answer_end& end) = 0;
  /// The whole, behind `finish`.
  [[nodiscard]] virtual std::string body() const = 0;
  /// What keeps a silent stream alive; empty: there is no such thing.
  [[nodiscard]] virtual std::string beat() = 0;
  /// An error within a stream that has begun.
  [[nodiscard]] virtual std::string failed(const api_error& why) = 0;
  /// What is kept, behind `finish`; nothing by default.
  [[nodiscard]] virtual std::optional<kept_answer> kept() const { return std::nullopt; }
};

/// What a request asks for of a model.
enum class form_purpose : std::uint8_t {
  answer,
  count, ///< the tokens of its prompt alone
  model, ///< what the model is, or that it is there
};

/// Of one request: the form its answer has. Immutable, and shared with all that keep it.
class answer_form {
public:
  virtual ~answer_form() = default;

  [[nodiscard]] virtual std::unique_ptr<answer_voice> voice(const answer_shape& shape) const = 0;
  /// Of a stream.
  [[nodiscard]] virtual std::string_view stream_type() const = 0;
  /// The body that tells an error.
  [[nodiscard]] virtual std::string error_body(const api_error& why) const = 0;

  [[nodiscard]] virtual form_purpose purpose() const { return form_purpose::answer; }
  /// Of a `count`, from how many tokens a prompt has; of a `model`, from that.
  [[nodiscard]] virtual http_reply told(const served_model& model, std::uint64_t tokens) const {
    static_cast<void>(model);
    static_cast<void>(tokens);
    return {};
  }
};

} // namespace ovir::gateway
