#include "actors/request/deadline_core.hpp"
#include "messages/limits/gather.hpp"
#include "messages/limits/paths.hpp"

#include <gmock/gmock.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr step_forecast path{10ms, 128ms, 192ms}; // a token, a chunk in one stage and in all

TEST(deadline, leaves_slack_by_the_time_to_spare_up_to_the_usual) {
  EXPECT_EQ(deadline_core::slack(10s, 5s), 0);
  EXPECT_EQ(deadline_core::slack(10s, 10s), 0);
  EXPECT_EQ(deadline_core::slack(10s, 15s), limits::slack_usual / 2);
  EXPECT_EQ(deadline_core::slack(10s, 20s), limits::slack_usual);
  EXPECT_EQ(deadline_core::slack(10s, 1'000s), limits::slack_usual);
  EXPECT_EQ(deadline_core::slack(0s, 1s), limits::slack_usual);
  EXPECT_EQ(deadline_core::slack(0s, -1s), 0);
}

TEST(deadline, is_compared_with_what_the_path_is_expected_to_take) {
  EXPECT_EQ(deadline_core::predicted(path, {0, 32, 7}), 70ms);
  EXPECT_EQ(deadline_core::predicted(path, {1, 32, 0}), 16ms) << "the position is a step, too";
  EXPECT_EQ(deadline_core::predicted(path, {16, 32, 1}), 106ms);
  EXPECT_EQ(deadline_core::predicted(path, {32, 32, 1}), 202ms);
  EXPECT_EQ(deadline_core::predicted(path, {40, 32, 1}), 234ms) << "stages compute side by side";
}

TEST(deadline, that_cannot_be_met_is_refused_with_the_prediction) {
  const work_left rest{32, 32, 50}; // takes 692 ms
  EXPECT_TRUE(deadline_core::check(path, rest, 692ms, 1));
  const auto refused = deadline_core::check(path, rest, 691ms, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::timed_out);
  EXPECT_THAT(refused.error().message,
              testing::HasSubstr("take up to 0.692 s here, and 0.691 s are left"));
  EXPECT_FALSE(deadline_core::check(path, rest, -1s, 1)) << "it is over";
}

TEST(deadline, is_refused_where_requests_take_longer_than_predicted) {
  const work_left rest{0, 32, 50}; // takes 500 ms
  EXPECT_TRUE(deadline_core::check(path, rest, 1'500ms, 3));
  const auto refused = deadline_core::check(path, rest, 1'499ms, 3);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("take up to 1.5 s here"));
}

TEST(deadline, of_a_path_of_which_nothing_is_known_is_not_judged) {
  EXPECT_EQ(deadline_core::predicted({}, {33, 32, 50}), std::nullopt);
  EXPECT_TRUE(deadline_core::check({}, {33, 32, 50}, 1ms, 3));
}

TEST(deadline, moves_a_request_that_stays_behind) {
  deadline_core core;
  for (std::uint32_t round = 0; round < 2; ++round) {
    for (std::uint32_t i = 1; i < limits::deadline_behind_tokens; ++i) {
      EXPECT_FALSE(core.falls_behind(11ms, 10, 100ms));
    }
    EXPECT_TRUE(core.falls_behind(11ms, 10, 100ms));
  }
}

TEST(deadline, does_not_move_a_request_that_was_behind_now_and_then) {
  deadline_core core;
  for (std::uint32_t i = 0; i < 10 * limits::deadline_behind_tokens; ++i) {
    const bool late = i % limits::deadline_behind_tokens != 0;
    EXPECT_FALSE(core.falls_behind(late ? 11ms : 10ms, 10, 100ms));
  }
}

} // namespace
} // namespace ovir::actors
