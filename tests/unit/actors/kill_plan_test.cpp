#include "actors/stage/kill_plan.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {

TEST(kill_plan, strikes_as_often_as_planned_and_never_before_its_token) {
  kill_plan plan{50, 3, 20};
  std::uint32_t kills = 0;
  for (std::size_t token = 0; token <= 20; ++token) {
    for (int event = 0; event < 400; ++event) {
      const bool pending = plan.pending(token);
      if (plan.due(token, false)) {
        EXPECT_TRUE(pending);
        ++kills;
      }
    }
    EXPECT_FALSE(plan.pending(token));
  }
  EXPECT_EQ(kills, 50U);
}

TEST(kill_plan, is_the_same_for_the_same_seed) {
  const auto strikes = [](std::uint64_t seed) {
    kill_plan plan{10, seed, 50};
    std::vector<std::size_t> out;
    for (std::size_t event = 0; event < 500; ++event) {
      if (plan.due(event / 10, false)) {
        out.push_back(event);
        out.push_back(plan.choose(4));
      }
    }
    return out;
  };
  EXPECT_EQ(strikes(1), strikes(1));
  EXPECT_NE(strikes(1), strikes(2));
}

TEST(kill_plan, does_nothing_unless_asked) {
  kill_plan plan;
  EXPECT_FALSE(plan.due(1000, true));
}

} // namespace ovir::actors
