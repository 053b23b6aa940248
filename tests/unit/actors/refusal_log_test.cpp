#include "actors/link/refusal_log.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

node_id node(std::uint8_t n) {
  node_id id;
  id.key.front() = n;
  return id;
}

constexpr auto every = static_cast<std::uint64_t>(limits::refusal_told_every.count());

TEST(refusal_log, names_a_node_once_in_a_while_and_counts_the_rest) {
  refusal_log log;
  const auto first = log.refused(node(1), "no token", 1'000);
  ASSERT_TRUE(first);
  EXPECT_NE(first->find("no token"), std::string::npos);
  EXPECT_FALSE(log.refused(node(1), "no token", 1'001));
  EXPECT_FALSE(log.refused(node(1), "no token", 1'000 + every - 1));
  const auto other = log.refused(node(2), "no token", 1'000 + every - 1);
  ASSERT_TRUE(other);
  EXPECT_NE(other->find("2 more refusals"), std::string::npos) << *other;
  const auto again = log.refused(node(1), "no token", 1'000 + every);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->find("more refusals"), std::string::npos) << *again;
}

TEST(refusal_log, names_so_many_nodes_in_that_time) {
  refusal_log log;
  std::size_t told = 0;
  for (std::size_t n = 0; n < 2 * limits::refusals_told_max; ++n) {
    told += log.refused(node(static_cast<std::uint8_t>(n)), "no token", 1'000) ? 1 : 0;
  }
  EXPECT_EQ(told, limits::refusals_told_max);
  EXPECT_TRUE(log.refused(node(200), "no token", 1'000 + every));
}

TEST(refusal_log, begins_anew_when_the_clock_is_set_back) {
  refusal_log log;
  EXPECT_TRUE(log.refused(node(1), "no token", 1'000));
  EXPECT_TRUE(log.refused(node(1), "no token", 10));
}

} // namespace
} // namespace ovir::actors
