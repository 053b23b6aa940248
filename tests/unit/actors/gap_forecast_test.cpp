#include "actors/runtime/gap_forecast.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

TEST(gap_forecast, trusts_no_rhythm_before_it_has_seen_it_for_a_while) {
  gap_forecast gaps;
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    EXPECT_EQ(gaps.shortest(), 0ms) << i;
    gaps.note(15ms);
  }
  EXPECT_EQ(gaps.shortest(), 15ms);
}

TEST(gap_forecast, one_shorter_gap_counts_until_as_many_others_as_it_remembers_came) {
  gap_forecast gaps;
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    gaps.note(15ms);
  }
  gaps.note(5ms);
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    EXPECT_EQ(gaps.shortest(), 5ms) << i;
    gaps.note(20ms);
  }
  EXPECT_EQ(gaps.shortest(), 20ms);
}

TEST(gap_forecast, a_long_gap_may_be_expected_behind_a_brief_one_and_the_other_way_around) {
  gap_forecast gaps;
  for (std::size_t i = 0; i <= gap_forecast::gaps_max; ++i) {
    gaps.note(18ms);
    gaps.note(1ms);
  }
  EXPECT_EQ(gaps.shortest(), 18ms);
  gaps.note(17ms);
  EXPECT_EQ(gaps.shortest(), 1ms);
  gaps.note(2ms);
  EXPECT_EQ(gaps.shortest(), 17ms);
  gaps.note(2ms);
  EXPECT_EQ(gaps.shortest(), 2ms) << "brief ones behind one another: trust has ended";
}

TEST(gap_forecast, one_long_pause_does_not_make_the_usual_gap_longer) {
  gap_forecast gaps;
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    EXPECT_EQ(gaps.longest_but_one(), 0ms) << i;
    gaps.note(i == 3 ? 14ms : 11ms);
  }
  EXPECT_EQ(gaps.longest_but_one(), 11ms);
  gaps.note(900ms);
  EXPECT_EQ(gaps.longest_but_one(), 14ms);
  gaps.note(700ms);
  EXPECT_EQ(gaps.longest_but_one(), 700ms) << "two are a rhythm of their own";
}

} // namespace
} // namespace ovir::actors
