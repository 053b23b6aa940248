#include "actors/protocol/draft_control.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

/// A machine whose passes take so long, and a text of which so many guesses in a row are right.
struct world {
  std::chrono::microseconds plain{10'000};
  std::chrono::microseconds per_guess{500};
  std::uint32_t right{7};
};

struct tally {
  std::uint32_t drafted{0};
  std::uint32_t passes{0};
  std::uint32_t tokens{0};
  std::chrono::nanoseconds time{0};
};

tally run(draft_control& control, const world& w, std::uint32_t passes) {
  tally t;
  for (; t.passes < passes; ++t.passes) {
    const std::uint32_t k = control.choose(limits::draft_tokens_max);
    const std::uint32_t accepted = std::min(k, w.right);
    const std::chrono::nanoseconds time = w.plain + k * w.per_guess;
    control.passed(k, accepted, time);
    t.drafted += k > 0 ? 1 : 0;
    t.tokens += 1 + accepted;
    t.time += time;
  }
  return t;
}

TEST(draft_control, first_learns_what_passes_without_guesses_take) {
  draft_control control;
  EXPECT_EQ(control.choose(7), 0U);
  control.passed(0, 0, 10ms);
  EXPECT_EQ(control.choose(7), 0U);
  control.passed(0, 0, 10ms);
  EXPECT_GT(control.choose(7), 0U);
}

TEST(draft_control, takes_all_guesses_where_they_are_right_and_cheap) {
  draft_control control;
  (void)run(control, {}, 30);
  EXPECT_EQ(control.choose(7), 7U);
  EXPECT_EQ(control.choose(2), 2U);
  EXPECT_EQ(control.choose(0), 0U);
}

TEST(draft_control, takes_as_many_as_pay) {
  draft_control control;
  // Half of the guesses are right: a few pay, seven do not.
  for (int i = 0; i < 200; ++i) {
    const std::uint32_t k = control.choose(7);
    const std::uint32_t accepted = i % 2 == 0 ? std::min(k, 2U) : 0;
    control.passed(k, accepted, 10ms + k * 1'500us);
  }
  const std::uint32_t k = control.choose(7);
  EXPECT_GE(k, 1U);
  EXPECT_LE(k, 3U);
}

TEST(draft_control, stops_where_guesses_are_wrong_and_loses_little) {
  draft_control control;
  const tally t = run(control, {10ms, 1ms, 0}, 2'000);
  EXPECT_LT(t.drafted, 20U);
  EXPECT_LT(t.time, 10ms * t.tokens * 1.01);
}

TEST(draft_control, stops_where_a_guess_costs_what_a_token_does) {
  draft_control control;
  const tally t = run(control, {10ms, 10ms, 7}, 2'000);
  EXPECT_LT(t.drafted, 20U);
}

TEST(draft_control, begins_again_when_the_text_changes) {
  draft_control control;
  (void)run(control, {10ms, 1ms, 0}, 1'000);
  const tally later = run(control, {10ms, 1ms, 7}, 1'000);
  EXPECT_GT(later.drafted, 400U);
}

TEST(draft_control, never_stops_looking_at_passes_without_guesses) {
  draft_control control;
  const tally t = run(control, {}, 1'000);
  EXPECT_GE(t.passes - t.drafted, 10U);
  // Guesses were cheap as long as memory was slow; now they are not.
  EXPECT_LT(run(control, {1ms, 10ms, 7}, 2'000).drafted, 200U);
}

TEST(draft_control, one_pass_that_waited_for_something_else_does_not_stop_it) {
  draft_control control;
  (void)run(control, {}, 30);
  control.passed(7, 7, 10s);
  EXPECT_GT(control.choose(7), 0U);
}

TEST(draft_control, rests_when_a_pass_with_guesses_was_lost) {
  for (const speculation mode : {speculation::automatic, speculation::on}) {
    draft_control control{mode};
    (void)run(control, {}, 30);
    control.lost();
    EXPECT_EQ(control.choose(7), 0U);
    (void)run(control, {}, 30);
    EXPECT_GT(control.choose(7), 0U);
  }
}

TEST(draft_control, on_takes_every_guess_and_off_none) {
  draft_control on{speculation::on};
  draft_control off{speculation::off};
  EXPECT_EQ(on.choose(5), 5U);
  EXPECT_EQ(run(off, {}, 100).drafted, 0U);
  EXPECT_FALSE(off.asks());
  EXPECT_EQ(run(on, {10ms, 10ms, 0}, 100).drafted, 100U);
}

TEST(draft_control, guesses_nothing_by_a_clock_that_stands_still) {
  draft_control control;
  EXPECT_EQ(run(control, {0us, 0us, 7}, 100).drafted, 0U);
}

TEST(draft_control, knows_three_modes_by_name) {
  EXPECT_EQ(speculation_from("auto").value(), speculation::automatic);
  EXPECT_EQ(speculation_from("on").value(), speculation::on);
  EXPECT_EQ(speculation_from("off").value(), speculation::off);
  EXPECT_EQ(speculation_from("yes").error().code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::actors
