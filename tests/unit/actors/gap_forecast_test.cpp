#include "actors/gap_forecast.hpp"

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

TEST(gap_forecast, one_short_gap_counts_until_as_many_others_as_it_remembers_came) {
  gap_forecast gaps;
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    gaps.note(15ms);
  }
  gaps.note(2ms);
  for (std::size_t i = 0; i < gap_forecast::gaps_max; ++i) {
    EXPECT_EQ(gaps.shortest(), 2ms) << i;
    gaps.note(20ms);
  }
  EXPECT_EQ(gaps.shortest(), 20ms);
}

} // namespace
} // namespace ovir::actors
