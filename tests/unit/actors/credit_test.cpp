#include "actors/payment/credit.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {

TEST(credit, bounds_the_frames_under_way_and_returns_with_confirmed_positions) {
  credit c{2};
  c.spend(10);
  EXPECT_TRUE(c.available());
  c.spend(20);
  EXPECT_FALSE(c.available());
  c.confirm(9);
  EXPECT_FALSE(c.available());
  c.confirm(10);
  EXPECT_TRUE(c.available());
  EXPECT_EQ(c.in_flight(), 1U);
  c.confirm(100);
  EXPECT_EQ(c.in_flight(), 0U);
}

TEST(credit, forgets_everything_when_an_epoch_begins) {
  credit c{1};
  c.spend(10);
  c.reset();
  EXPECT_TRUE(c.available());
  c.spend(5);
  EXPECT_FALSE(c.available());
}

} // namespace ovir::actors
