#include "actors/path/step_patience.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(step_patience, begins_with_the_least_slack_or_what_the_plan_expects) {
  step_patience patience;
  EXPECT_EQ(patience.allowed(true), limits::slack_min);
  patience.expect({1s, 4s});
  EXPECT_EQ(patience.allowed(true), 8s);
  EXPECT_EQ(patience.allowed(false), 32s) << "a chunk of a prompt takes longer";
  patience.expect({30s, 30s});
  EXPECT_EQ(patience.allowed(true), limits::slack_usual_max);
}

// Half as slow again with every token: the sum until it is left is three times the last wait.
TEST(step_patience, a_stage_that_slows_step_by_step_is_left_in_bounded_time) {
  for (const nanoseconds first : {nanoseconds{10ms}, nanoseconds{100ms}, nanoseconds{1s}}) {
    step_patience patience;
    nanoseconds total{0};
    nanoseconds step = first;
    int tokens = 0;
    for (; step < patience.allowed(true); step = 3 * step / 2, ++tokens) {
      total += step;
      patience.drawn(step);
      ASSERT_LT(tokens, 30);
    }
    EXPECT_LE(total, 3 * std::max<nanoseconds>(limits::slack_min, 8 * first)) << first.count();
  }
}

TEST(step_patience, a_stage_that_is_slow_from_the_start_is_held_to_the_plan) {
  step_patience patience;
  patience.expect({20ms, 100ms});
  for (int i = 0; i < 50; ++i) {
    patience.drawn(1'400ms);
  }
  EXPECT_EQ(patience.allowed(true), limits::slack_min) << "not eight times what it makes";
  step_patience alone;
  for (int i = 0; i < 50; ++i) {
    alone.drawn(1'400ms);
  }
  EXPECT_EQ(alone.allowed(true), 8 * 1'400ms) << "where no plan says more";
}

TEST(step_patience, an_honest_machine_without_a_better_one_gets_the_time_it_takes) {
  step_patience patience;
  patience.expect({100ms, 500ms});
  int complaints = 0;
  for (int token = 0; token < 20; ++token) {
    while (patience.allowed(true) < 20s) {
      EXPECT_EQ(patience.complained(), complaints > 0);
      ++complaints;
      ASSERT_LT(complaints, 10);
    }
    patience.drawn(20s);
  }
  EXPECT_EQ(complaints, 4) << "at 1.5, 3, 6 and 12 s, of the first token alone";
}

TEST(step_patience, what_was_doubled_is_taken_back_when_it_goes_well) {
  step_patience patience;
  patience.expect({1s, 1s});
  EXPECT_FALSE(patience.complained());
  EXPECT_EQ(patience.allowed(true), 16s);
  for (std::uint32_t i = 0; i < limits::slack_calm_tokens; ++i) {
    EXPECT_EQ(patience.allowed(true), 16s);
    patience.drawn(1s);
  }
  EXPECT_EQ(patience.allowed(true), 8s);
}

TEST(step_patience, has_an_absolute_bound) {
  step_patience patience;
  patience.expect({600s, 600s});
  for (int i = 0; i < 1'000; ++i) {
    (void)patience.complained();
  }
  EXPECT_EQ(patience.allowed(false), limits::slack_max);
}

} // namespace
} // namespace ovir::actors
