#pragma once

#include "gateway/api/answer_form.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/api/generation_order.hpp"
#include "gateway/api/token_logprobs_json.hpp"
#include "gateway/api/tool_call_reader.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/event_id.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// What an answer looks like, whatever comes of it.
struct answer_shape {
  api_kind kind{api_kind::completion};
  request_id id;
  std::vector<request_id> answers; ///< as the cluster knows them
  std::string model;               ///< as the client called it
  std::string fingerprint;
  std::uint64_t created{0}; ///< Unix seconds
  std::uint64_t prompt_tokens{0};
  bool stream{false};
  std::uint32_t answers_each{1};     ///< to one prompt
  std::uint32_t told_each{0};        ///< of these, the likeliest; 0: all
  std::vector<std::string> echoes{}; ///< of each prompt: what is told in front of its answers
  bool has_tools{false};             ///< calls of tools are looked for in the text
  bool include_usage{false};
  bool system_folded{false}; ///< what the system said stands in a user's message
  /// Of the model, where tokens are told with logprobs; else null.
  std::shared_ptr<const compute::tokenizer> vocabulary;
  bool base64{false};                        ///< of embeddings
  std::optional<std::uint32_t> dimensions{}; ///< of embeddings; none: all

  /// Tokens are told with logprobs, by which answers are ranked.
  [[nodiscard]] bool ranks() const noexcept { return told_each > 0 && told_each < answers_each; }
  /// What is told in front of answer `answer`.
  [[nodiscard]] std::string echo_of(std::size_t answer) const {
    return echoes.empty() ? std::string{} : echoes.at(answer / answers_each);
  }
  /// Null: as OpenAI's completions. Else there is one answer, or embeddings that are told whole.
  std::shared_ptr<const answer_form> form;
  std::vector<std::string> stop;                   ///< the client's, where there is a form
  std::uint32_t stop_from{0};                      ///< tokens before which none of these counts
  std::shared_ptr<const compute::tokenizer> words; ///< of the model, where there is a form
};

/// Turns tokens into the body of an answer or the events of a stream. A core: what it returns is to
/// be sent at once, in order. Tokens of each answer come from index 0 on, without a gap, also to a
/// client that had some already: those are passed over.
class answer_writer {
public:
  /// `received`: what the client has, by answer; empty: nothing. `invalid_argument` in
  /// `check_received` otherwise.
  explicit answer_writer(answer_shape shape, std::vector<std::uint32_t> received = {});

  /// Whether `received` can be what a client has of an answer of this shape.
  [[nodiscard]] static bool fits(const answer_shape& shape, const event_id& last);

  /// A token of answer `answer`; the event that says so, or nothing. It has logprobs where the
  /// shape has a vocabulary.
  [[nodiscard]] std::string on_token(std::uint32_t answer, const told_token& token);
  /// The end of answer `answer`; behind the last one the end of the stream.
  [[nodiscard]] std::string on_end(std::uint32_t answer, generation_outcome outcome);
  /// Every answer is over.
  [[nodiscard]] bool over() const;

  /// The body; once every answer is over.
  [[nodiscard]] std::string body() const;
  /// Tokens drawn, of all answers.
  [[nodiscard]] std::uint64_t tokens() const;
  /// Tokens of the prompts that were not computed again.
  [[nodiscard]] std::uint64_t cached() const;
  /// How long the answers took so far, and until the first token. Before `on_end`.
  void set_times(std::chrono::nanoseconds took, std::chrono::nanoseconds first);
  /// What a stream is called in HTTP, what keeps a silent one alive (empty: nothing), and what
  /// tells an error in one.
  [[nodiscard]] std::string_view stream_type() const;
  [[nodiscard]] std::string beat();
  [[nodiscard]] std::string failed(const api_error& why);
  /// What is kept of an answer that is over; its id is that of the shape.
  [[nodiscard]] std::optional<kept_answer> kept() const;
  /// Digest of the only answer.
  [[nodiscard]] std::optional<digest> transcript() const;

  [[nodiscard]] const answer_shape& shape() const noexcept { return shape_; }

private:
  struct answer {
    std::uint32_t next{0};     ///< token that comes next from the cluster
    std::uint32_t received{0}; ///< events the client has
    std::size_t text_bytes{0}; ///< of the answer, so far
    tool_call_reader calls;    ///< where there may be some
    told_tokens told;          ///< with logprobs, and not told the client yet
    std::string raw;           ///< bytes of its tokens, where the shape has stop texts
    double likelihood{0};      ///< sum of its tokens' logprobs, where the shape ranks
    std::optional<generation_outcome> outcome;
  };

  [[nodiscard]] tool_call_reader::pieces pieces_of(answer& a, const std::string& text) const;
  [[nodiscard]] std::string event(std::uint32_t index, const tool_call_reader::pieces& text,
                                  const generation_outcome* end);
  [[nodiscard]] event_id place() const;
  [[nodiscard]] json embeddings() const;
  /// The elements of an embedding that are told.
  [[nodiscard]] std::vector<float> vector_of(const generation_outcome& outcome) const;
  /// The answers that are told, prompt after prompt.
  [[nodiscard]] std::vector<std::size_t> told() const;
  [[nodiscard]] json choice_of(std::size_t which, std::size_t index) const;
  [[nodiscard]] json take_logprobs(answer& a) const;
  [[nodiscard]] std::string say_end(answer& a, const tool_call_reader::pieces& rest);

  answer_shape shape_;
  std::vector<answer> answers_;
  std::unique_ptr<answer_voice> voice_; ///< null: OpenAI's completions
  std::chrono::nanoseconds took_{0};
  std::chrono::nanoseconds first_{0};
};

/// Where the receipt of an answer is.
[[nodiscard]] std::string receipt_url(request_id answer);
/// An error within a stream that has begun.
[[nodiscard]] std::string error_event(const api_error& e);
/// What keeps a silent stream alive: a comment.
[[nodiscard]] std::string beat_event();

} // namespace ovir::gateway
