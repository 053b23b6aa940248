// How a lead guesses: what it sends, believes and sends again.
#include "actors/request/lead_core.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

const test::letters vocabulary;

generation_request request(std::string_view prompt, std::uint32_t max_tokens) {
  generation_request r;
  r.prompt.assign(prompt.begin(), prompt.end());
  r.max_tokens = max_tokens;
  r.drafts = speculation::on;
  return r;
}

/// A lead of one stage, told what happens; what it asks for, in words.
class lead {
public:
  explicit lead(std::string_view prompt, std::uint32_t max_tokens = 20)
      : lead{request(prompt, max_tokens)} {
    begin();
  }
  explicit lead(const generation_request& asked)
      : core{asked, {1, 64, 0, 100}, vocabulary},
        at_(static_cast<position>(asked.prompt.size() - 1)) {}

  void begin() {
    (void)core.on_path({false});
    (void)opened(0);
  }

  std::string opened(position length) {
    return words(core.on_opened({{length, {}}, stage_index{0}, core.current_epoch()}));
  }
  /// The stage is at `length`, and logits of `rows` came.
  std::string logits(position length, std::uint32_t rows = 1) {
    (void)core.on_step({{length, 0, {}}, stage_index{0}, core.current_epoch()});
    return words(core.on_logits(core.current_epoch(), length - 1, rows));
  }
  /// What was drawn, as text; 0 in it ends the generation.
  std::string drawn(std::string_view text) {
    tokens_drawn e{at_, {}};
    for (const char c : text) {
      e.drawn.push_back({static_cast<token_id>(c == '0' ? 0 : c), digest{}});
      ++at_;
    }
    return words(core.on_drawn(e, 1ms));
  }
  static std::string words(const lead_core::effects& effects) {
    std::string out;
    for (const auto& effect : effects) {
      const std::string next = std::visit([](const auto& e) { return word(e); }, effect);
      out += out.empty() || next.empty() ? "" : " ";
      out += next;
    }
    return out;
  }

  lead_core core;

private:
  static std::string text(const std::vector<token_id>& ids) { return {ids.begin(), ids.end()}; }
  static std::string word(const tokens_effect& e) {
    return fmt::format("tokens:{}+{}/{}{}", e.first, e.count, e.logit_rows, text(e.drafts));
  }
  static std::string word(const draw_effect& e) {
    return fmt::format("draw:{}{}", e.at, text(e.drafts));
  }
  static std::string word(const drawn_effect& e) { return e.text; }
  static std::string word(const finish_effect&) { return "finish"; }
  static std::string word(const open_effect&) { return "open"; }
  static std::string word(const resend_effect& e) { return fmt::format("resend:{}", e.at); }
  static std::string word(const end_effect&) { return "end"; }
  static std::string word(const blame_effect& e) { return fmt::format("blame:{}", e.stage.value); }
  static std::string word(const accuse_effect& e) { return fmt::format("accuse:{}", e.host); }
  template <class Other>
  static std::string word(const Other&) {
    return "?";
  }

  position at_;
};

/// One that tells logprobs and goes on for another, which drew `drawn`.
generation_request told_with_logprobs(std::string_view drawn, std::uint32_t max_tokens) {
  generation_request r = request("xyz", max_tokens);
  r.logprobs = 2;
  for (const char c : drawn) {
    r.drawn.push_back({static_cast<token_id>(c), digest{}});
  }
  return r;
}

/// A lead that has sent position 5 with all that followed "ab" before.
lead guessing(std::uint32_t max_tokens = 20) {
  lead l{"abcda", max_tokens};
  EXPECT_EQ(l.logits(5), "draw:4");
  EXPECT_EQ(l.drawn("b"), max_tokens == 3 ? "b tokens:5+1/1c" : "b tokens:5+1/1cdabcda");
  return l;
}

TEST(lead_draft, sends_guesses_behind_the_token_that_is_known) {
  lead l = guessing();
  EXPECT_EQ(l.logits(6, 8), "draw:5cdabcda");
}

TEST(lead_draft, guesses_nothing_behind_a_prompt_and_where_nothing_stood_before) {
  lead l{"abcab"};
  EXPECT_EQ(l.logits(5), "draw:4");
  EXPECT_EQ(l.drawn("x"), "x tokens:5+1/1");
}

TEST(lead_draft, goes_on_behind_the_guesses_that_were_right) {
  lead l = guessing();
  (void)l.logits(6, 8);
  EXPECT_EQ(l.drawn("cdx"), "c d x tokens:8+1/1");
  EXPECT_EQ(l.core.target(), 9U);
  EXPECT_EQ(l.logits(9), "draw:8");
}

TEST(lead_draft, goes_on_behind_none_when_the_first_was_wrong) {
  lead l = guessing();
  (void)l.logits(6, 8);
  EXPECT_EQ(l.drawn("x"), "x tokens:6+1/1");
}

TEST(lead_draft, never_guesses_the_last_token_that_may_be_drawn) {
  lead l = guessing(3);
  EXPECT_EQ(l.logits(6, 2), "draw:5c");
  // Both were computed, so the stage has to be told once more which position counts.
  EXPECT_EQ(l.drawn("cz"), "c z tokens:6+1/0");
  (void)l.core.on_step({{7, 0, {}}, stage_index{0}, l.core.current_epoch()});
  EXPECT_EQ(
      lead::words(l.core.on_finished({{7, 0, 0, {}}, stage_index{0}, l.core.current_epoch()})),
      "end");
  const auto report = l.core.outcome();
  EXPECT_EQ(report->text, "bcz");
  EXPECT_EQ(report->positions, 7U);
  EXPECT_EQ(report->drafted, 1U);
  EXPECT_EQ(report->accepted, 1U);
}

TEST(lead_draft, ends_within_a_guess_and_counts_nothing_behind_the_end) {
  lead end = guessing();
  (void)end.logits(6, 8);
  EXPECT_EQ(end.drawn("cd0"), "c d tokens:6+2/0");
  (void)end.core.on_step({{8, 0, {}}, stage_index{0}, end.core.current_epoch()});
  (void)end.core.on_finished({{8, 0, 0, {}}, stage_index{0}, end.core.current_epoch()});
  EXPECT_EQ(end.core.outcome()->logits.size(), 4U);
}

TEST(lead_draft, takes_the_answer_to_a_frame_whose_guesses_could_not_be_computed) {
  lead l = guessing();
  EXPECT_EQ(l.logits(6, 1), "draw:5");
  EXPECT_EQ(l.drawn("c"), "c tokens:6+1/1dabcdab");
}

TEST(lead_draft, takes_no_more_logits_than_it_asked_for) {
  lead l = guessing();
  EXPECT_EQ(l.logits(6, 9), "");
  EXPECT_EQ(l.logits(6, 0), "");
}

TEST(lead_draft, computes_what_it_knows_again_when_the_stage_is_lost_with_its_guesses) {
  lead l = guessing();
  (void)l.core.on_stage_down(stage_index{0});
  EXPECT_EQ(lead::words(l.core.on_path({false})), "open");
  EXPECT_EQ(l.opened(0), "tokens:0+6/1");
  EXPECT_EQ(l.logits(6, 8), "");
  EXPECT_EQ(l.logits(6), "draw:5");
}

TEST(lead_draft, keeps_what_was_drawn_of_an_epoch_that_ended_meanwhile) {
  lead l = guessing();
  (void)l.logits(6, 8);
  EXPECT_EQ(lead::words(l.core.on_path({true})), "open");
  EXPECT_EQ(l.opened(6), "");
  EXPECT_EQ(l.drawn("cdab"), "c d a b tokens:6+4/1");
}

TEST(lead_draft, asks_again_for_logits_that_were_lost_with_guesses) {
  lead l = guessing();
  EXPECT_EQ(lead::words(l.core.on_path({true})), "open");
  EXPECT_EQ(l.opened(6), "resend:5");
  EXPECT_EQ(l.logits(6), "draw:5");
}

TEST(lead_draft, with_logprobs_it_draws_again_what_an_earlier_lead_drew) {
  lead l{told_with_logprobs("klmnopqrstuv", 20)};
  EXPECT_EQ(lead::words(l.core.resume()), "") << "nothing is told without its logprobs";
  EXPECT_EQ(l.core.output_count(), 0U);
  l.begin();
  EXPECT_EQ(l.logits(3), "draw:2");
  EXPECT_EQ(l.drawn("k"), "k tokens:3+1/1lmnopqr");
  EXPECT_EQ(l.logits(4, 8), "draw:3lmnopqr");
  EXPECT_EQ(l.drawn("lmnopqrs"), "l m n o p q r s tokens:11+1/1tuv");
  EXPECT_EQ(l.logits(12, 4), "draw:11tuv");
  EXPECT_EQ(l.drawn("tuvw"), "t u v w tokens:15+1/1") << "what was known is at its end";
}

TEST(lead_draft, with_logprobs_it_forgets_what_an_earlier_lead_drew_wrongly) {
  lead l{told_with_logprobs("klmn", 20)};
  l.begin();
  (void)l.logits(3);
  EXPECT_EQ(l.drawn("k"), "k tokens:3+1/1lmn");
  EXPECT_EQ(l.logits(4, 4), "draw:3lmn");
  EXPECT_EQ(l.drawn("lz"), "l z tokens:5+1/1");
}

TEST(lead_draft, with_logprobs_what_is_known_goes_no_further_than_the_request) {
  lead l{told_with_logprobs("klmn", 3)};
  l.begin();
  (void)l.logits(3);
  EXPECT_EQ(l.drawn("k"), "k tokens:3+1/1l");
}

TEST(lead_draft, tells_the_logprobs_of_each_token_it_drew) {
  lead l = guessing();
  (void)l.logits(6, 8);
  tokens_drawn e{5, {{'c', digest{}}, {'d', digest{}}}};
  for (const float logprob : {-1.0F, -2.0F}) {
    e.logprobs.push_back(std::make_shared<const token_logprobs>(token_logprobs{logprob, {}}));
  }
  std::vector<float> told;
  for (const lead_effect& effect : l.core.on_drawn(e, 1ms)) {
    if (const auto* const drawn = std::get_if<drawn_effect>(&effect)) {
      told.push_back(drawn->logprobs->drawn);
    }
  }
  EXPECT_EQ(told, (std::vector<float>{-1, -2}));
}

TEST(lead_draft, cancelled_while_right_guesses_are_told_it_counts_what_tokens_were_drawn_from) {
  lead l = guessing();
  (void)l.logits(6, 8);
  (void)l.core.on_stage_down(stage_index{0});
  EXPECT_EQ(l.drawn("cdx"), "c d x");
  (void)l.core.on_cancel();
  EXPECT_EQ(l.core.target(), 8U);
}

} // namespace
} // namespace ovir::actors
