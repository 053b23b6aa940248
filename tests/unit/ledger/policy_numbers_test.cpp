#include "ledger/rules/policy_numbers.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

TEST(policy_numbers, name_each_number_once_and_set_what_they_get) {
  std::size_t count = 0;
  for (const auto table : {rule_numbers(), deterrence_numbers()}) {
    for (const policy_number& n : table) {
      policy changed;
      n.set(changed, n.get(changed) + 1);
      EXPECT_EQ(n.get(changed), n.get(policy{}) + 1) << n.key;
      EXPECT_EQ(first_difference(changed, {}), std::string{n.key} + " is " +
                                                   std::to_string(n.get(changed)) + " instead of " +
                                                   std::to_string(n.get(policy{})));
      ++count;
    }
  }
  EXPECT_EQ(count, 27U);
}

TEST(policy_numbers, become_the_most_there_is_where_there_is_less_room) {
  policy p;
  for (const policy_number& n : deterrence_numbers()) {
    if (n.key == "auditors") {
      n.set(p, std::uint64_t{1} << 33U);
    }
  }
  EXPECT_EQ(p.deterrence.auditors, 0xFFFF'FFFFU) << "not 0";
}

TEST(policy_numbers, differ_in_words_too) {
  policy other;
  EXPECT_EQ(first_difference(other, {}), "");
  other.refund = refund_rule::request;
  EXPECT_EQ(first_difference(other, {}), "refund is request instead of window");
  other.deterrence.mode = trust_mode::zero_bond;
  EXPECT_EQ(first_difference(other, {}), "mode is zero-bond instead of bonded");
}

} // namespace
} // namespace ovir::ledger
