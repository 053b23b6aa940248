#include "actors/link/dial_budget.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr auto first_wait = 250ms;

node_id node(std::uint8_t value) {
  node_id id;
  id.key.fill(value);
  return id;
}

std::string address(std::size_t number) { return "10.0.0.7:" + std::to_string(1 + number); }

TEST(dial_budget, an_address_that_was_not_reached_is_tried_less_and_less_often) {
  dial_budget budget{first_wait};
  dial_budget::time_point now{1h};
  const auto end = now + 10min;
  std::size_t tries = 0;
  for (std::uint8_t teller = 0; now < end; now += 50ms, ++teller) {
    // Different peers tell of it, and whatever key is said to be there.
    tries += budget.may_dial(node(teller), address(0), false, now) ? 1 : 0;
    budget.forget_old(now);
  }
  EXPECT_GE(tries, 8U);
  EXPECT_LE(tries, 8U + 10U);
}

TEST(dial_budget, one_account_pays_for_all_the_addresses_it_told) {
  dial_budget budget{first_wait};
  dial_budget::time_point now{1h};
  std::size_t tries = 0;
  for (std::size_t i = 0; i < 1'000; ++i) {
    tries += budget.may_dial(node(1), address(i), false, now) ? 1 : 0;
  }
  EXPECT_EQ(tries, limits::dials_burst);
  EXPECT_TRUE(budget.may_dial(node(2), address(2'000), false, now)) << "another account";
  EXPECT_FALSE(budget.may_dial(node(1), address(2'001), true, now));
  now += limits::dial_interval;
  EXPECT_TRUE(budget.may_dial(node(1), address(2'001), true, now));
  EXPECT_FALSE(budget.may_dial(node(1), address(2'002), true, now));
}

TEST(dial_budget, an_address_that_was_reached_begins_anew) {
  dial_budget budget{first_wait};
  const dial_budget::time_point now{1h};
  ASSERT_TRUE(budget.may_dial(node(1), address(0), false, now));
  EXPECT_FALSE(budget.may_dial(node(1), address(0), false, now + 100ms));
  budget.reached(address(0));
  EXPECT_TRUE(budget.may_dial(node(1), address(0), false, now + 100ms));
}

TEST(dial_budget, remembers_no_more_than_it_must) {
  dial_budget budget{first_wait};
  dial_budget::time_point now{1h};
  for (std::size_t i = 0; i < 1'000; ++i) {
    (void)budget.may_dial(node(static_cast<std::uint8_t>(i / 10)), address(i), false, now);
  }
  EXPECT_LE(budget.size(), limits::told_addresses_max + 100U);
  budget.forget_old(now + 2 * limits::unreached_dial_wait_max);
  EXPECT_EQ(budget.size(), 0U);
}

} // namespace
} // namespace ovir::actors
