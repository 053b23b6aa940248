#include "actors/path/seen_speeds.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

node_id seen_node(std::uint32_t number) {
  node_id id;
  id.key[0] = static_cast<std::uint8_t>(number);
  id.key[1] = static_cast<std::uint8_t>(number >> 8U);
  return id;
}

class speeds_seen : public ::testing::Test {
protected:
  static constexpr double word = 1e9;
  static seen_speeds::time_point at(std::chrono::seconds time) {
    return seen_speeds::time_point{time};
  }
  void see(double speed, std::uint32_t times, std::chrono::seconds when = 0s) {
    see(node_, speed, times, when);
  }
  void see(const node_id& who, double speed, std::uint32_t times, std::chrono::seconds when = 0s) {
    for (std::uint32_t i = 0; i < times; ++i) {
      seen_.add(who, speed, word, at(when));
    }
  }
  const node_id node_ = seen_node(1);
  seen_speeds seen_;
};

TEST_F(speeds_seen, count_from_the_third_step_on) {
  see(1e8, limits::speed_seen_min - 1);
  EXPECT_EQ(seen_.believed(node_, word, at(0s)), std::nullopt);
  see(1e8, 1);
  EXPECT_EQ(seen_.believed(node_, word, at(0s)), 1e8);
  EXPECT_EQ(seen_.believed(seen_node(2), word, at(0s)), std::nullopt);
}

TEST_F(speeds_seen, are_the_same_whatever_the_node_says) {
  see(1e8, 20);
  for (const double boast : {1e8, 1e9, 1e10}) {
    EXPECT_DOUBLE_EQ(*seen_.believed(node_, boast, at(0s)), 1e8);
  }
}

TEST_F(speeds_seen, come_back_to_the_word_of_a_node_that_is_not_used) {
  see(seen_node(2), word, 20); // as fast as it says
  see(1e8, 20);
  const auto half = limits::speed_seen_fades / 2;
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(half)), 1e8 * std::sqrt(2));
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(2 * half)), word) << "it is tried";
  see(1e8, 1, 2 * half);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(2 * half)), 1e8);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(4 * half)), 2e8) << "not so soon again";
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(6 * half)), word);
  see(0.9 * word, 1, 6 * half);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(6 * half)), 0.9 * word) << "what was is over";
}

// All are seen at a quarter of what they say, and one at a tenth.
TEST_F(speeds_seen, come_back_as_near_to_the_word_as_others_are) {
  see(seen_node(2), word / 4, 20);
  see(1e8, 20);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(10h)), word / 4);
  EXPECT_DOUBLE_EQ(*seen_.believed(seen_node(2), word, at(10h)), word / 4);
}

TEST_F(speeds_seen, come_back_to_what_was_usual_of_a_node_that_boasts) {
  see(seen_node(2), word, 20);
  see(1e8, limits::speed_usual_steps);
  auto when = 0s;
  for (std::uint32_t tries = 0; tries <= limits::speed_tries_max; ++tries) {
    const auto wait = limits::speed_seen_fades * (1 << tries);
    EXPECT_NEAR(*seen_.believed(node_, word, at(when + wait - 1s)), 1e8, 0.05e8);
    EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(when + wait)), word) << "it is tried";
    when += wait;
    see(1e8, 1, when);
  }
  EXPECT_NEAR(*seen_.believed(node_, word, at(when + limits::speed_seen_fades)), 1e8, 0.05e8);
}

TEST_F(speeds_seen, are_more_than_the_word_of_a_modest_node) {
  see(4 * word, 20);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(0s)), 4 * word);
  EXPECT_DOUBLE_EQ(*seen_.believed(node_, word, at(10h)), 4 * word);
}

TEST_F(speeds_seen, follow_a_lasting_change) {
  see(1e9, 20);
  see(1e8, 1);
  EXPECT_GT(*seen_.believed(node_, word, at(0s)), 9e8) << "one slow step";
  see(1e8, 40);
  EXPECT_LT(*seen_.believed(node_, word, at(0s)), 2e8);
}

TEST_F(speeds_seen, that_cannot_be_are_left_out) {
  see(0, 3);
  see(-1, 3);
  see(std::numeric_limits<double>::infinity(), 3);
  see(std::numeric_limits<double>::quiet_NaN(), 3);
  EXPECT_EQ(seen_.believed(node_, word, at(0s)), std::nullopt);
}

TEST_F(speeds_seen, are_remembered_of_so_many_nodes) {
  for (std::uint32_t n = 0; n <= limits::speeds_seen_max; ++n) {
    for (std::uint32_t i = 0; i < limits::speed_seen_min; ++i) {
      seen_.add(seen_node(n), 1e8, word, at(std::chrono::seconds{n}));
    }
  }
  const auto now = at(std::chrono::seconds{limits::speeds_seen_max});
  EXPECT_EQ(seen_.believed(seen_node(0), word, now), std::nullopt) << "seen longest ago";
  EXPECT_TRUE(seen_.believed(seen_node(1), word, now));
}

// Stages 2, 4 and 6 ms from the lead and 8 and 10 ms from each other and back.
TEST(ways, are_counted_to_stages_from_them_and_to_the_lead) {
  const std::vector<double> to_lead{2e-3, 4e-3, 6e-3};
  const std::vector<double> between{8e-3, 10e-3};
  const auto seconds = seconds_on_ways(to_lead, between);
  ASSERT_EQ(seconds.size(), 3U);
  EXPECT_NEAR(seconds[0], (2e-3 + 8e-3 + 4e-3) / 2, 1e-9);
  EXPECT_NEAR(seconds[1], (8e-3 + 10e-3 + 6e-3 - 2e-3) / 2, 1e-9);
  EXPECT_NEAR(seconds[2], (10e-3 + 6e-3 - 4e-3) / 2, 1e-9);
}

TEST(ways, that_are_nearly_all_of_a_step_leave_a_bound) {
  const computed_time bound = without_ways(10e-3, 1.0);
  EXPECT_FALSE(bound.exact);
  EXPECT_NEAR(bound.seconds, 1e-3, 1e-9) << "a tenth at most";
  const computed_time left = without_ways(10e-3, 4e-3);
  EXPECT_TRUE(left.exact);
  EXPECT_NEAR(left.seconds, 6e-3, 1e-9);
}

} // namespace
} // namespace ovir::actors
