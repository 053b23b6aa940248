#include "actors/request/stage_times.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using times = std::optional<std::vector<std::chrono::nanoseconds>>;

constexpr epoch driver{3};
constexpr position length = 32; // a step that stages tell their times of
constexpr stage_index first{0};
constexpr stage_index second{1};
constexpr stage_index third{2};

class times_of_stages : public ::testing::Test {
protected:
  static stage_times::time_point at(std::chrono::milliseconds time) {
    return stage_times::time_point{time};
  }
  stage_times seen_;
};

// Sent at 0; had by the second at 12, by the third at 30; answered at 41.
TEST_F(times_of_stages, are_what_their_neighbours_saw) {
  seen_.fed(driver, length, 3, at(0ms));
  seen_.computed(driver, first, length, 9ms, at(10ms));
  seen_.computed(driver, third, length, 10ms, at(40ms));
  seen_.answered(driver, length, at(41ms));
  EXPECT_EQ(seen_.take(), times{}) << "the second has not said anything";
  seen_.computed(driver, second, length, 16ms, at(28ms));
  EXPECT_EQ(seen_.take(), (times{{12ms, 20ms, 13ms}}));
  EXPECT_EQ(seen_.take(), times{}) << "each step counts once";
}

TEST_F(times_of_stages, and_the_leads_own_is_from_an_answer_to_the_next_step) {
  seen_.fed(driver, length, 1, at(0ms));
  seen_.answered(driver, length, at(20ms));
  EXPECT_EQ(seen_.lead(), std::nullopt);
  seen_.fed(driver, length + 2, 1, at(22ms)); // after one that was guessed
  seen_.fed(epoch{4}, length + 1, 1, at(22ms));
  EXPECT_EQ(seen_.lead(), std::nullopt);
  seen_.fed(driver, length + 1, 1, at(23ms));
  EXPECT_EQ(seen_.lead(), 3ms);
}

TEST_F(times_of_stages, do_not_follow_from_what_a_stage_says_of_itself) {
  for (const auto lie : {0ms, 8ms, 16ms}) {
    seen_.fed(driver, length, 3, at(0ms));
    seen_.computed(driver, first, length, 9ms, at(10ms));
    seen_.computed(driver, second, length, lie, at(28ms));
    seen_.computed(driver, third, length, 10ms, at(40ms));
    seen_.answered(driver, length, at(41ms));
    EXPECT_EQ((*seen_.take())[1], 20ms);
  }
}

TEST_F(times_of_stages, of_a_path_of_one_are_between_question_and_answer) {
  seen_.fed(driver, length, 1, at(5ms));
  seen_.answered(driver, length, at(20ms));
  seen_.computed(driver, first, length, 1ms, at(21ms));
  EXPECT_EQ(seen_.take(), (times{{15ms}}));
}

TEST_F(times_of_stages, are_of_one_step_in_one_epoch) {
  seen_.fed(driver, length, 1, at(0ms));
  seen_.answered(driver, length + 16, at(20ms));
  seen_.answered(epoch{4}, length, at(20ms));
  seen_.computed(driver, second, length, 0ms, at(20ms));
  seen_.computed(driver, first, length, 0ms, at(20ms));
  EXPECT_EQ(seen_.take(), times{});
  seen_.answered(driver, length, at(21ms));
  seen_.fed(driver, length + 16, 1, at(22ms)); // the next of which they tell
  EXPECT_EQ(seen_.take(), times{});
}

TEST_F(times_of_stages, come_when_the_next_step_is_under_way_already) {
  seen_.fed(driver, length, 1, at(0ms));
  seen_.answered(driver, length, at(20ms));
  seen_.fed(driver, length + 1, 1, at(20ms)); // of which stages tell nothing
  seen_.answered(driver, length + 1, at(40ms));
  EXPECT_EQ(seen_.take(), times{});
  seen_.computed(driver, first, length, 19ms, at(41ms));
  EXPECT_EQ(seen_.take(), (times{{20ms}}));
}

TEST_F(times_of_stages, that_contradict_each_other_are_none) {
  seen_.fed(driver, length, 2, at(0ms));
  seen_.computed(driver, first, length, 1ms, at(10ms));
  seen_.computed(driver, second, length, 1h, at(20ms));
  seen_.answered(driver, length, at(21ms));
  EXPECT_EQ(seen_.take(), times{});
}

} // namespace
} // namespace ovir::actors
