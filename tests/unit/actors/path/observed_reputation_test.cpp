#include "actors/path/observed_reputation.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

class reputation_of_nodes : public ::testing::Test {
protected:
  static node_id id(std::uint8_t n) {
    node_id node;
    node.key[0] = n;
    return node;
  }
  void steps(std::uint8_t n, int count, double took) {
    for (int i = 0; i < count; ++i) {
      seen_.note_step(id(n), took, 0.010, now_);
    }
  }
  void pass(std::chrono::seconds time, bool there) {
    seen_.note_there([&](const node_id&) { return there; }, now_);
    now_ += time;
    seen_.note_there([&](const node_id&) { return there; }, now_);
  }

  observed_reputation seen_;
  observed_reputation::time_point now_{1h};
};

TEST_F(reputation_of_nodes, begins_in_the_middle) {
  EXPECT_DOUBLE_EQ(seen_.share(id(1)), 0.5);
  EXPECT_DOUBLE_EQ(seen_.weight(id(1), true, now_), 1);
  EXPECT_DOUBLE_EQ(seen_.weight(id(1), false, now_), 1.2) << "it is to be tried";
}

TEST_F(reputation_of_nodes, falls_with_late_steps_and_is_earned_back) {
  steps(1, 200, 0.012);
  const double good = seen_.share(id(1));
  EXPECT_GT(good, 0.9);
  EXPECT_LT(good, 1);
  steps(1, 20, 0.250);
  const double late = seen_.share(id(1));
  EXPECT_LT(late, 0.75);
  steps(1, 200, 0.012);
  EXPECT_GT(seen_.share(id(1)), 0.9);
}

TEST_F(reputation_of_nodes, falls_where_a_request_left_it) {
  seen_.note_late(id(1), now_);
  EXPECT_LT(seen_.share(id(1)), 0.5);
}

TEST_F(reputation_of_nodes, forgives_what_machines_do_now_and_then) {
  const double grace = std::chrono::duration<double>(limits::late_grace).count();
  steps(1, 50, 0.010 * limits::late_factor + grace);
  EXPECT_GT(seen_.share(id(1)), 0.8);
  steps(2, 50, 0.011 * limits::late_factor + grace);
  EXPECT_LT(seen_.share(id(2)), 0.2);
}

TEST_F(reputation_of_nodes, falls_while_it_is_away) {
  steps(1, 200, 0.010);
  pass(1h, true);
  EXPECT_GT(seen_.share(id(1)), 0.9);
  pass(3h, false);
  EXPECT_LT(seen_.share(id(1)), 0.4);
  pass(24h, true);
  EXPECT_GT(seen_.share(id(1)), 0.9);
}

TEST_F(reputation_of_nodes, counts_more_in_a_hurry) {
  steps(1, 100, 0.010);
  steps(2, 100, 1);
  const double usual = seen_.weight(id(1), false, now_) / seen_.weight(id(2), false, now_);
  const double hurried = seen_.weight(id(1), true, now_) / seen_.weight(id(2), true, now_);
  EXPECT_GT(usual, 1.3);
  EXPECT_LE(usual, 1.5) << "who was late still gets work where it is much faster";
  EXPECT_NEAR(hurried, usual * usual, 1e-9);
}

TEST_F(reputation_of_nodes, is_doubted_the_longer_it_was_not_seen) {
  steps(1, 100, 1);
  const double late = seen_.weight(id(1), false, now_);
  const double hurried = seen_.weight(id(1), true, now_);
  const auto later = now_ + limits::reputation_doubts;
  EXPECT_NEAR(1.2 - seen_.weight(id(1), false, later), (1.2 - late) / 2, 1e-9);
  EXPECT_DOUBLE_EQ(seen_.weight(id(1), true, later), hurried) << "not with work in a hurry";
}

TEST_F(reputation_of_nodes, is_no_matter_of_numbers_that_are_none) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  seen_.note_step(id(1), 1, 0, now_);
  seen_.note_step(id(1), 1, none, now_);
  seen_.note_step(id(1), none, 1, now_);
  EXPECT_TRUE(seen_.list().empty());
}

TEST_F(reputation_of_nodes, is_remembered_of_so_many) {
  for (std::size_t i = 0; i <= limits::reputation_nodes_max; ++i) {
    node_id node = id(1);
    node.key[1] = static_cast<std::uint8_t>(i);
    node.key[2] = static_cast<std::uint8_t>(i >> 8U);
    seen_.note_step(node, 1, 1, now_);
    seen_.note_step(node, 1, 1, now_);
  }
  EXPECT_EQ(seen_.list().size(), limits::reputation_nodes_max);
}

} // namespace
} // namespace ovir::actors
