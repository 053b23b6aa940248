#include "actors/link/receive_budget.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr std::size_t overhead = limits::message_overhead_bytes;
constexpr std::size_t most = 1U << 20U;

struct counted_budget {
  int resumed{0};
  std::shared_ptr<receive_budget> budget{
      std::make_shared<receive_budget>(most, [this] { ++resumed; })};

  received_bytes take(std::size_t bytes) {
    EXPECT_TRUE(budget->reserve(bytes));
    return budget->hand_out(std::vector<std::byte>(bytes));
  }
};

TEST(receive_budget, counts_a_message_until_its_last_owner_lets_go) {
  counted_budget c;
  received_bytes first = c.take(1'000);
  received_bytes second = first;
  EXPECT_EQ(c.budget->outstanding(), 1'000 + overhead);
  first.reset();
  EXPECT_EQ(c.budget->outstanding(), 1'000 + overhead);
  second.reset();
  EXPECT_EQ(c.budget->outstanding(), 0U);
  EXPECT_EQ(c.resumed, 0) << "nobody waited";
}

TEST(receive_budget, refuses_what_does_not_fit_and_says_once_when_it_does) {
  counted_budget c;
  received_bytes large = c.take(most - 2 * overhead);
  received_bytes small = c.take(0);
  EXPECT_FALSE(c.budget->reserve(1));
  small.reset();
  EXPECT_EQ(c.resumed, 0) << "one byte too many still";
  large.reset();
  EXPECT_EQ(c.resumed, 1);
  received_bytes next = c.take(1);
  next.reset();
  EXPECT_EQ(c.resumed, 1);
}

TEST(receive_budget, one_message_may_always_be_there_however_large) {
  counted_budget c;
  received_bytes frame = c.take(2 * most);
  EXPECT_FALSE(c.budget->reserve(0));
  frame.reset();
  EXPECT_EQ(c.resumed, 1);
}

TEST(receive_budget, empty_messages_are_bounded_as_well) {
  counted_budget c;
  std::vector<received_bytes> held;
  while (c.budget->reserve(0)) {
    held.push_back(c.budget->hand_out({}));
    ASSERT_LE(held.size(), most / overhead);
  }
  EXPECT_EQ(held.size(), most / overhead);
}

TEST(receive_budget, calls_nobody_after_it_was_detached) {
  counted_budget c;
  received_bytes frame = c.take(2 * most);
  EXPECT_FALSE(c.budget->reserve(1));
  c.budget->detach();
  frame.reset();
  EXPECT_EQ(c.resumed, 0);
}

TEST(receive_budget, is_kept_by_the_messages_it_counts) {
  received_bytes held;
  {
    counted_budget c;
    held = c.take(10);
    c.budget->detach();
  }
  EXPECT_EQ(held->size(), 10U);
  held.reset();
}

} // namespace
} // namespace ovir::actors
