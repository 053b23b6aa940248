// How a lead waits for the guesses of a model: what it asks, sends and forgets.
#include "actors/request/lead_core.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

const test::letters guess_vocabulary;

generation_request guess_request(std::string_view prompt, std::uint32_t max_tokens,
                                 speculation mode) {
  generation_request r;
  r.prompt.assign(prompt.begin(), prompt.end());
  r.max_tokens = max_tokens;
  r.drafts = mode;
  return r;
}

/// A lead of one stage with a model; what it asks for, in words.
class guessing_lead {
public:
  explicit guessing_lead(std::string_view prompt, speculation mode = speculation::on,
                         std::uint32_t max_tokens = 20)
      : core{guess_request(prompt, max_tokens, mode), {1, 64, 0, 100}, guess_vocabulary},
        at_(static_cast<position>(prompt.size() - 1)) {
    core.use_model();
    (void)core.on_path({false});
    (void)opened(0);
  }

  std::string opened(position length) {
    return words(core.on_opened({{length, {}}, stage_index{0}, core.current_epoch()}));
  }
  std::string logits(position length, std::uint32_t rows = 1) {
    (void)core.on_step({{length, 0, {}}, stage_index{0}, core.current_epoch()});
    return words(core.on_logits(core.current_epoch(), length - 1, rows));
  }
  std::string drawn(std::string_view text, std::chrono::nanoseconds took = 1ms) {
    tokens_drawn e{at_, {}};
    for (const char c : text) {
      e.drawn.push_back({static_cast<token_id>(c), digest{}});
      ++at_;
    }
    return words(core.on_drawn(e, took));
  }
  std::string guessed(position at, std::string_view text) {
    return words(core.on_guess(at, {text.begin(), text.end()}));
  }
  static std::string words(const lead_core::effects& effects) {
    std::string out;
    for (const auto& effect : effects) {
      std::string next;
      if (const auto* const sent = std::get_if<tokens_effect>(&effect)) {
        next = fmt::format("tokens:{}+{}{}", sent->first, sent->count,
                           std::string{sent->drafts.begin(), sent->drafts.end()});
      } else if (const auto* const asked = std::get_if<guess_effect>(&effect)) {
        next = fmt::format("guess:{}+{}", asked->at, asked->count);
      } else if (std::holds_alternative<open_effect>(effect)) {
        next = "open";
      } else if (std::holds_alternative<end_effect>(effect)) {
        next = "end";
      } else if (std::holds_alternative<finish_effect>(effect)) {
        next = "finish";
      }
      out += out.empty() || next.empty() ? "" : " ";
      out += next;
    }
    return out;
  }

  lead_core core;

private:
  position at_;
};

/// One that waits for a guess behind "abcdex".
guessing_lead waiting(std::uint32_t max_tokens = 20) {
  guessing_lead l{"abcde", speculation::on, max_tokens};
  (void)l.logits(5);
  EXPECT_EQ(l.drawn("x"), max_tokens == 4 ? "guess:6+2" : "guess:6+7");
  return l;
}

TEST(lead_guess, sends_the_next_step_with_what_the_model_guesses) {
  guessing_lead l = waiting();
  EXPECT_EQ(l.core.guesses(), 0U);
  EXPECT_EQ(l.guessed(6, "yz"), "tokens:5+1yz");
  EXPECT_EQ(l.core.guesses(), 2U);
  (void)l.logits(6, 3);
  EXPECT_EQ(l.drawn("yzw"), "guess:9+7") << "all were right";
}

TEST(lead_guess, sends_the_next_step_alone_where_the_model_guesses_nothing) {
  guessing_lead l = waiting();
  EXPECT_EQ(l.guessed(6, ""), "tokens:5+1");
}

TEST(lead_guess, owes_nothing_to_a_stage_while_the_model_guesses) {
  guessing_lead l = waiting();
  EXPECT_FALSE(l.core.awaited());
  (void)l.guessed(6, "y");
  EXPECT_TRUE(l.core.awaited());
}

TEST(lead_guess, asks_no_model_where_the_text_repeats_itself) {
  guessing_lead l{"abcda"};
  (void)l.logits(5);
  EXPECT_EQ(l.drawn("b"), "tokens:5+1cdabcda");
}

TEST(lead_guess, asks_for_no_more_than_may_still_be_drawn) {
  guessing_lead l = waiting(4);
  EXPECT_EQ(l.guessed(6, "yzuvw"), "tokens:5+1yz") << "whatever the model says";
}

TEST(lead_guess, ignores_a_guess_that_came_too_late) {
  guessing_lead l = waiting();
  (void)l.core.on_stage_down(stage_index{0});
  EXPECT_EQ(guessing_lead::words(l.core.on_path({false})), "open");
  EXPECT_EQ(l.guessed(6, "yz"), "") << "it was for the path before";
  EXPECT_EQ(l.opened(0), "tokens:0+6");
  EXPECT_EQ(l.guessed(6, "yz"), "") << "nothing waits for it";
  EXPECT_EQ(l.core.guesses(), 0U);
}

TEST(lead_guess, ignores_a_guess_behind_another_position) {
  guessing_lead l = waiting();
  EXPECT_EQ(l.guessed(5, "yz"), "");
  EXPECT_EQ(l.guessed(6, "yz"), "tokens:5+1yz");
}

TEST(lead_guess, ends_while_the_model_guesses_when_it_is_cancelled) {
  guessing_lead l = waiting();
  EXPECT_EQ(guessing_lead::words(l.core.on_cancel()), "finish");
  EXPECT_EQ(l.guessed(6, "yz"), "");
}

TEST(lead_guess, rests_where_guesses_of_the_model_do_not_pay) {
  guessing_lead l{"abcde", speculation::automatic, 90};
  position length = 5;
  std::uint32_t asked = 0;
  for (char c = 0; c < 60; ++c) {
    (void)l.logits(length, static_cast<std::uint32_t>(l.core.guesses() + 1));
    // Every token is another one, each guess is wrong, and takes as long as the step itself.
    const auto took = l.core.guesses() > 0 ? 20ms : 10ms;
    const std::string next = l.drawn(std::string{static_cast<char>(0x21 + c)}, took);
    ++length;
    if (next.find("guess") != std::string::npos) {
      ++asked;
      (void)l.guessed(length, std::string(7, '~'));
    }
  }
  EXPECT_GT(asked, 0U) << "it tried";
  EXPECT_LT(asked, 12U) << "and found that it does not pay";
}

} // namespace
} // namespace ovir::actors
