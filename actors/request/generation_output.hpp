#pragma once

#include "actors/protocol/draft_control.hpp"
#include "actors/protocol/protocol.hpp"
#include "actors/request/stop_filter.hpp"
#include "compute/text/tokenizer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// The output of a request so far, and what is to be drawn next.
class generation_output {
public:
  /// `vocabulary` outlives it. The prompt is not empty and fits the context.
  generation_output(generation_request& request, std::uint32_t context,
                    const compute::tokenizer& vocabulary);

  /// Tokens that an earlier lead drew, or that are known from an earlier answer. With logprobs they
  /// are guesses, which are drawn again from logits that are computed again.
  void adopt(std::vector<drawn_token> drawn);
  /// Text that may be shown with the token. Ends the output, or moves `target` to the token.
  [[nodiscard]] std::string take(token_id token);
  /// Text that was held back at the end.
  [[nodiscard]] std::string finish_text();
  void end(finish_reason reason);
  /// Tokens that may come next, to be computed in one step with the last; at most as many as may
  /// still be drawn before the last.
  [[nodiscard]] std::vector<token_id> draft();
  /// How many tokens a model is to guess before the next step, which then waits for `take_guess`;
  /// 0: the step goes at once, with what `draft` finds.
  [[nodiscard]] std::uint32_t ask_model();
  /// What a model guessed behind position `at`. Ignored where nothing waits for it any more.
  void take_guess(position at, std::vector<token_id> tokens);
  /// A step with `drafted` guesses, of which `right` were right, took `time`.
  void passed(std::uint32_t drafted, std::uint32_t right, std::chrono::nanoseconds time);
  /// Nothing of a draft was computed.
  void drop_drafts();
  /// Rows of logits, or of hidden states, that are needed of positions [first, first + count).
  [[nodiscard]] std::uint32_t rows_wanted(position first, std::uint32_t count) const noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return history.size() - prompt_; }
  [[nodiscard]] std::vector<token_id> tokens() const {
    return {history.begin() + static_cast<std::ptrdiff_t>(prompt_), history.end()};
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] finish_reason end_reason() const noexcept { return end_; }
  [[nodiscard]] position positions_max() const noexcept { return positions_max_; }
  [[nodiscard]] bool signs() const noexcept { return signs_; }
  /// Of the positions known, so many may come from a cache. The last is always computed, because
  /// caches keep no logits. Where stages sign, all positions that a token was drawn from are.
  [[nodiscard]] position reusable() const noexcept {
    const auto prompt = static_cast<position>(prompt_);
    return (signs_ && max_tokens_ > 0 ? std::min(target, prompt) : target) - 1;
  }
  [[nodiscard]] bool lacks_hidden() const noexcept { return hidden_next && *hidden_next < target; }
  /// Some first tokens are guesses from an earlier answer.
  [[nodiscard]] bool expects() const noexcept { return count() < expected_.size(); }

  std::vector<token_id> history;       ///< prompt and output
  std::vector<drawn_token> earlier;    ///< drawn by an earlier lead, until they are told again
  std::optional<position> hidden_next; ///< of an embedding: the first row it still lacks
  position target{0};                  ///< positions to be computed as far as known
  bool awaiting_logits{false};         ///< of position target - 1
  bool drawing{false};
  bool ended{false};            ///< no further token will be drawn
  std::vector<token_id> drafts; ///< sent behind position target - 1 in this epoch

  /// A model guesses for this request.
  void use_model() noexcept { sources_.has_model = true; }
  /// It does so now, and the next step waits.
  [[nodiscard]] bool guessing() const noexcept { return sources_.guessing; }

private:
  [[nodiscard]] std::uint32_t room_for_drafts() const noexcept;

  /// Where guesses come from.
  struct draft_sources {
    explicit draft_sources(speculation mode) : by_lookup(mode), by_model(mode) {}
    [[nodiscard]] draft_control& used() noexcept { return from_model ? by_model : by_lookup; }

    draft_control by_lookup;
    draft_control by_model;
    bool has_model{false};
    bool guessing{false};
    std::optional<std::vector<token_id>> guess{}; ///< for the next step
    bool from_model{false};                       ///< `guess`, or else the drafts under way
  };
  draft_sources sources_;
  std::size_t prompt_;
  std::size_t max_tokens_;
  std::size_t min_tokens_; ///< in the text of so many no stop string is looked for
  position positions_max_{0};
  const compute::tokenizer& vocabulary_;
  compute::text_stream stream_;
  stop_filter stops_;
  bool logprobs_; ///< tokens are told with logprobs, so all are drawn here
  bool signs_;    ///< each row of logits drawn from is to be stated by the stage that computed it
  std::vector<token_id> expected_; ///< with logprobs: the first tokens of an earlier answer
  std::string text_;
  finish_reason end_{finish_reason::length};
};

} // namespace ovir::actors
