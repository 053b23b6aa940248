#include "actors/runtime/allowance.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
const allowance::time_point start{1h};

TEST(allowance, is_full_at_first_and_fills_up_a_period_at_a_time) {
  allowance a{10, 4, 100ms};
  EXPECT_TRUE(a.spend(9, start));
  EXPECT_FALSE(a.has(2, start + 99ms));
  EXPECT_TRUE(a.spend(5, start + 100ms));
  EXPECT_FALSE(a.has(1, start + 199ms));
  EXPECT_TRUE(a.has(8, start + 300ms));
  EXPECT_FALSE(a.has(9, start + 300ms));
}

TEST(allowance, never_holds_more_than_its_capacity) {
  allowance a{10, 4, 100ms};
  EXPECT_TRUE(a.has(10, start));
  EXPECT_FALSE(a.has(11, start + 24h));
  EXPECT_TRUE(a.spend(10, start + 24h));
  EXPECT_FALSE(a.has(1, start + 24h));
}

TEST(allowance, whoever_asks_for_too_much_has_nothing_left) {
  allowance a{10, 4, 100ms};
  EXPECT_FALSE(a.spend(11, start));
  EXPECT_FALSE(a.has(1, start));
}

TEST(allowance, time_that_runs_backwards_refills_nothing) {
  allowance a{10, 4, 100ms};
  EXPECT_TRUE(a.spend(10, start));
  EXPECT_FALSE(a.has(1, start - 1h));
  EXPECT_TRUE(a.has(4, start + 100ms));
}

} // namespace
} // namespace ovir::actors
