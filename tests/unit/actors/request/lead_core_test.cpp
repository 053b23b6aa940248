#include "actors/request/lead_core.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

const test::letters vocabulary;

/// A lead core whose effects are written down as words.
class lead {
public:
  explicit lead(std::uint32_t stages, std::uint32_t max_tokens = 3, std::size_t prompt = 4,
                std::vector<std::string> stop = {})
      : core{request(max_tokens, prompt, std::move(stop)), {stages, 2, 0, 100}, vocabulary},
        up_(stages), fresh_(stages) {}

  /// A stage came up; once all are there, there is a path.
  std::string up(std::uint32_t s) {
    up_[s] = true;
    fresh_[s] = true;
    if (std::find(up_.begin(), up_.end(), false) != up_.end()) {
      return {};
    }
    std::vector<bool> kept(fresh_.size());
    std::transform(fresh_.begin(), fresh_.end(), kept.begin(), [](bool fresh) { return !fresh; });
    fresh_.assign(fresh_.size(), false);
    return words(core.on_path(kept));
  }
  std::string down(std::uint32_t s) {
    up_[s] = false;
    return words(core.on_stage_down(stage_index{s}));
  }
  std::string opened(std::uint32_t s, position length) {
    return words(core.on_opened({{length, {}}, stage_index{s}, core.current_epoch()}));
  }
  std::string step(std::uint32_t s, position length) {
    return words(core.on_step({{length, 0, {}}, stage_index{s}, core.current_epoch()}));
  }
  std::string logits(position at) { return words(core.on_logits(core.current_epoch(), at, 1)); }
  std::string drawn(position at, char letter) {
    return words(core.on_drawn({at, {{static_cast<token_id>(letter), digest{}}}}, {}));
  }
  std::string finished(std::uint32_t s, position length) {
    return words(core.on_finished({{length, 0, 0, {}}, stage_index{s}, core.current_epoch()}));
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
  std::vector<bool> up_;
  std::vector<bool> fresh_;
  static generation_request request(std::uint32_t max_tokens, std::size_t prompt,
                                    std::vector<std::string> stop) {
    generation_request r;
    r.prompt.assign(prompt, 65);
    r.max_tokens = max_tokens;
    r.stop = std::move(stop);
    return r;
  }
  static std::string span(position first, std::uint32_t count, std::uint32_t rows) {
    return fmt::format("{}-{}{}", first, first + count, rows > 0 ? "!" : "");
  }
  static std::string word(const open_effect& e) { return fmt::format("open:{}", e.stage.value); }
  static std::string word(const tokens_effect& e) {
    return "tokens:" + span(e.first, e.count, e.logit_rows);
  }
  static std::string word(const guess_effect& e) {
    return fmt::format("guess:{}+{}", e.at, e.count);
  }
  static std::string word(const replay_effect& e) {
    return fmt::format("replay{}:", e.stage.value) + span(e.first, e.count, e.logit_rows);
  }
  static std::string word(const resend_effect& e) { return fmt::format("resend:{}", e.at); }
  static std::string word(const finish_effect& e) {
    return fmt::format("finish:{}@{}", e.stage.value, e.at);
  }
  static std::string word(const draw_effect& e) { return fmt::format("draw:{}", e.at); }
  static std::string word(const drawn_effect& e) { return e.text.empty() ? "" : "text:" + e.text; }
  static std::string word(const text_effect& e) { return "text:" + e.text; }
  static std::string word(const kill_effect& e) { return fmt::format("kill:{}", e.stage.value); }
  static std::string word(const end_effect&) { return "end"; }
  static std::string word(const blame_effect& e) { return fmt::format("blame:{}", e.stage.value); }
  static std::string word(const accuse_effect& e) { return fmt::format("accuse:{}", e.host); }
};

/// A lead of two stages that has sent its prompt of four.
lead driving(std::vector<std::string> stop = {}) {
  lead l{2, 3, 4, std::move(stop)};
  (void)l.up(0);
  (void)l.up(1);
  (void)l.opened(0, 0);
  (void)l.opened(1, 0);
  return l;
}

TEST(lead_core, opens_every_stage_once_all_are_there_and_sends_the_prompt_in_chunks) {
  lead l{2};
  EXPECT_EQ(l.up(1), "");
  EXPECT_EQ(l.up(0), "open:0 open:1");
  EXPECT_EQ(l.opened(1, 0), "");
  EXPECT_EQ(l.opened(0, 0), "tokens:0-2 tokens:2-4!");
}

TEST(lead_core, never_has_more_frames_under_way_than_its_credit) {
  lead l{1, 1, 60};
  (void)l.up(0);
  const std::string first = l.opened(0, 0);
  EXPECT_EQ(static_cast<std::size_t>(std::count(first.begin(), first.end(), ':')),
            limits::frames_in_flight_max);
  EXPECT_EQ(l.step(0, 2), "tokens:16-18");
  EXPECT_EQ(l.step(0, 6), "tokens:18-20 tokens:20-22");
}

TEST(lead_core, draws_streams_and_sends_the_next_token_until_the_length_is_reached) {
  lead l = driving();
  (void)l.step(0, 4);
  EXPECT_EQ(l.logits(3), "draw:3");
  (void)l.step(1, 4);
  EXPECT_EQ(l.drawn(3, 'x'), "text:x tokens:4-5!");
  (void)l.step(0, 5);
  EXPECT_EQ(l.logits(4), "draw:4");
  (void)l.step(1, 5);
  EXPECT_EQ(l.drawn(4, 'y'), "text:y tokens:5-6! finish:0@6 finish:1@6");
  (void)l.step(0, 6);
  EXPECT_EQ(l.logits(5), "draw:5");
  (void)l.step(1, 6);
  EXPECT_EQ(l.drawn(5, 'z'), "text:z");
  EXPECT_EQ(l.finished(1, 6), "");
  EXPECT_EQ(l.finished(0, 6), "end");
  const auto report = l.core.outcome();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->text, "xyz");
  EXPECT_EQ(report->end, finish_reason::length);
}

TEST(lead_core, takes_the_end_of_a_stage_that_comes_before_the_last_token_is_drawn) {
  lead l{2, 1};
  (void)l.up(0);
  (void)l.up(1);
  (void)l.opened(0, 0);
  EXPECT_EQ(l.opened(1, 0), "tokens:0-2 tokens:2-4! finish:0@4 finish:1@4");
  (void)l.step(0, 4);
  EXPECT_EQ(l.finished(0, 4), "");
  EXPECT_EQ(l.logits(3), "draw:3");
  EXPECT_EQ(l.finished(1, 4), "");
  EXPECT_EQ(l.drawn(3, 'x'), "text:x end");
}

TEST(lead_core, asks_again_for_the_end_of_a_stage_that_was_lost_before_it_stated_it) {
  lead l{2, 1};
  (void)l.up(0);
  (void)l.up(1);
  (void)l.opened(0, 0);
  (void)l.opened(1, 0);
  (void)l.step(0, 4);
  (void)l.finished(0, 4);
  (void)l.down(1);
  EXPECT_EQ(l.up(1), "open:0 open:1");
  (void)l.opened(0, 4);
  EXPECT_EQ(l.opened(1, 0), "replay0:0-2 replay0:2-4!");
  (void)l.step(1, 4);
  EXPECT_EQ(l.logits(3), "draw:3");
  EXPECT_EQ(l.drawn(3, 'x'), "text:x finish:1@4");
  EXPECT_EQ(l.finished(1, 4), "end");
}

TEST(lead_core, waits_for_the_whole_path_before_it_asks_for_the_open_leaves) {
  lead l = driving();
  (void)l.logits(3);
  (void)l.step(1, 4);
  EXPECT_EQ(l.drawn(3, 0), "");
  EXPECT_EQ(l.step(0, 4), "finish:0@4 finish:1@4");
}

TEST(lead_core, learns_from_an_answer_how_far_the_last_stage_is) {
  lead l = driving();
  (void)l.step(0, 4);
  (void)l.logits(3);
  EXPECT_EQ(l.drawn(3, 0), "finish:0@4 finish:1@4");
}

TEST(lead_core, an_answer_that_comes_after_the_request_was_cancelled_still_tells) {
  lead l = driving();
  (void)l.step(0, 4);
  EXPECT_TRUE(l.core.on_cancel().empty());
  EXPECT_EQ(l.logits(3), "finish:0@4 finish:1@4");
}

TEST(lead_core, ends_at_a_stop_string_and_shows_nothing_of_it) {
  lead l = driving({"yz"});
  (void)l.step(0, 4);
  (void)l.logits(3);
  (void)l.step(1, 4);
  EXPECT_EQ(l.drawn(3, 'y'), "tokens:4-5!");
  (void)l.step(0, 5);
  (void)l.logits(4);
  (void)l.step(1, 5);
  EXPECT_EQ(l.drawn(4, 'z'), "finish:0@5 finish:1@5");
  (void)l.finished(0, 5);
  EXPECT_EQ(l.finished(1, 5), "end");
  const auto report = l.core.outcome();
  EXPECT_EQ(report->text, "");
  EXPECT_EQ(report->tokens.size(), 2U);
  EXPECT_EQ(report->end, finish_reason::stop);
}

TEST(lead_core, replays_the_boundaries_kept_before_a_stage_that_lost_its_own) {
  lead l = driving();
  (void)l.step(0, 4);
  (void)l.step(1, 2);
  (void)l.down(1);
  EXPECT_EQ(l.up(1), "open:0 open:1");
  (void)l.opened(0, 4);
  EXPECT_EQ(l.opened(1, 0), "replay0:0-2 replay0:2-4!");
  (void)l.step(1, 2);
  EXPECT_EQ(l.logits(3), "draw:3");
}

TEST(lead_core, sends_the_tokens_again_to_a_first_stage_that_lost_everything) {
  lead l = driving();
  (void)l.step(0, 4);
  (void)l.logits(3);
  (void)l.step(1, 4);
  (void)l.drawn(3, 'x');
  (void)l.down(0);
  (void)l.up(0);
  (void)l.opened(0, 0);
  EXPECT_EQ(l.opened(1, 4), "tokens:0-2 tokens:2-4 tokens:4-5!");
}

TEST(lead_core, restores_the_last_stage_first_when_several_lost_theirs) {
  lead l{3, 3, 4};
  for (std::uint32_t s = 0; s < 3; ++s) {
    (void)l.up(s);
  }
  (void)l.opened(0, 4);
  (void)l.opened(1, 3);
  EXPECT_EQ(l.opened(2, 0), "replay1:0-2 replay1:2-3");
  EXPECT_EQ(l.step(2, 2), "");
  EXPECT_EQ(l.step(2, 3), "replay0:3-4!");
  EXPECT_EQ(l.step(1, 4), "");
  EXPECT_EQ(l.logits(3), "draw:3");
}

TEST(lead_core, asks_once_for_logits_that_were_lost_on_the_way) {
  lead l = driving();
  (void)l.down(0);
  (void)l.up(0);
  (void)l.opened(0, 4);
  EXPECT_EQ(l.opened(1, 4), "resend:3");
  EXPECT_EQ(l.step(1, 4), "");
  EXPECT_EQ(l.logits(3), "draw:3");
}

TEST(lead_core, takes_no_progress_and_no_logits_from_an_earlier_epoch) {
  lead l = driving();
  const epoch before = l.core.current_epoch();
  (void)l.down(0);
  (void)l.up(0);
  (void)l.opened(0, 0);
  (void)l.opened(1, 0);
  EXPECT_EQ(lead::words(l.core.on_logits(before, 3, 1)), "");
  EXPECT_EQ(lead::words(l.core.on_step({{4, 0, {}}, stage_index{1}, before})), "");
}

TEST(lead_core, a_unit_stated_with_two_values_is_a_dispute) {
  lead l = driving();
  const compute::unit_leaf one{{0, 0}, 32, digest{}};
  compute::unit_leaf other = one;
  other.boundary.bytes[0] = 1;
  const epoch e = l.core.current_epoch();
  (void)l.core.on_step({{2, 0, {one}}, stage_index{0}, e});
  EXPECT_EQ(lead::words(l.core.on_step({{2, 0, {one}}, stage_index{0}, e})), "");
  EXPECT_EQ(lead::words(l.core.on_step({{4, 0, {other}}, stage_index{0}, e})), "end");
  EXPECT_EQ(l.core.outcome().error().code, errc::digest_mismatch);
}

TEST(lead_core, an_error_that_computing_again_would_repeat_ends_the_request) {
  lead l = driving();
  const epoch e = l.core.current_epoch();
  const from_stage<stage_failed> nan{{{errc::nonfinite, "layer 3 made a NaN"}}, stage_index{0}, e};
  EXPECT_EQ(lead::words(l.core.on_failed(nan)), "end");
  EXPECT_EQ(l.core.outcome().error().code, errc::nonfinite);
}

TEST(lead_core, a_stage_that_lacks_something_gets_a_new_epoch_but_not_for_ever) {
  lead l = driving();
  for (std::uint32_t i = 0; i < limits::recoveries_max; ++i) {
    const from_stage<stage_failed> gap{
        {{errc::peer_lost, "a gap"}}, stage_index{1}, l.core.current_epoch()};
    EXPECT_EQ(lead::words(l.core.on_failed(gap)), "open:0 open:1");
  }
  const from_stage<stage_failed> gap{
      {{errc::peer_lost, "a gap"}}, stage_index{1}, l.core.current_epoch()};
  EXPECT_EQ(lead::words(l.core.on_failed(gap)), "end");
}

// An answer overtakes what its stage says of itself, and whoever goes then finds nothing kept
// there.
TEST(lead_core, windows_are_computed_when_every_stage_said_so_and_not_by_an_answer_alone) {
  lead l{2, 3, 68};
  (void)l.up(0);
  (void)l.up(1);
  (void)l.opened(0, 66);
  (void)l.opened(1, 60);
  EXPECT_EQ(l.core.windows_computed(), 1U);
  (void)l.step(1, 62);
  (void)l.step(0, 68);
  EXPECT_NE(l.logits(67), "");
  EXPECT_EQ(l.core.windows_computed(), 1U);
  (void)l.step(1, 68);
  EXPECT_EQ(l.core.windows_computed(), 2U);
}

TEST(lead_core, a_cancelled_request_lets_what_is_under_way_finish) {
  lead l{1, 3, 60};
  (void)l.up(0);
  (void)l.opened(0, 0);
  EXPECT_EQ(lead::words(l.core.on_cancel()), "");
  EXPECT_EQ(l.step(0, 14), "");
  EXPECT_EQ(l.step(0, 16), "finish:0@16");
  EXPECT_EQ(l.finished(0, 16), "end");
  EXPECT_EQ(l.core.outcome()->end, finish_reason::cancelled);
}

TEST(lead_core, cancelled_before_its_first_step_it_ends_at_once) {
  lead l{2};
  EXPECT_EQ(lead::words(l.core.on_cancel()), "end");
  EXPECT_TRUE(l.core.outcome()->tokens.empty());
}

TEST(lead_core, reserves_no_more_positions_than_the_context_has) {
  EXPECT_EQ((lead{1, 1'000, 4}.core.positions_max()), 100U);
  EXPECT_EQ((lead{1, 3, 4}.core.positions_max()), 6U);
}

} // namespace
} // namespace ovir::actors
