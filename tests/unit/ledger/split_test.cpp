#include "ledger/rules/split.hpp"
#include "messages/limits/ledger.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

node_id node(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}

std::vector<micro_credits> shares(micro_credits amount, std::vector<weighted> cohort) {
  return split(amount, cohort).value();
}

TEST(split, leftover_units_go_to_the_largest_remainders_and_ties_to_the_lower_id) {
  using list = std::vector<micro_credits>;
  EXPECT_EQ(shares(10, {{node(1), 1}, {node(2), 1}, {node(3), 1}}), (list{4, 3, 3}));
  EXPECT_EQ(shares(10, {{node(9), 1}, {node(2), 1}, {node(3), 1}}), (list{3, 4, 3}));
  EXPECT_EQ(shares(11, {{node(9), 1}, {node(2), 1}, {node(3), 1}}), (list{3, 4, 4}));
  EXPECT_EQ(shares(7, {{node(1), 1}, {node(2), 5}}), (list{1, 6}));
  EXPECT_EQ(shares(0, {{node(1), 1}, {node(2), 5}}), (list{0, 0}));
  EXPECT_EQ(shares(5, {{node(1), 0}, {node(2), 5}}), (list{0, 5}));
}

TEST(split, takes_the_largest_amounts_and_weights_without_overflow) {
  const micro_credits most = ~std::uint64_t{0};
  const std::vector<weighted> all(1, {node(1), limits::ledger_weight_max});
  EXPECT_EQ(split(most, all).value().front(), most);
  std::vector<weighted> many;
  for (std::uint8_t n = 0; n < limits::ledger_participants_max; ++n) {
    many.push_back({node(n), limits::ledger_weight_max});
  }
  micro_credits sum = 0;
  for (const micro_credits share : shares(most, many)) {
    sum += share;
  }
  EXPECT_EQ(sum, most);
}

TEST(split, refuses_cohorts_that_cannot_be_paid) {
  EXPECT_EQ(split(1, {}).error().code, errc::invalid_argument);
  const std::vector<weighted> zero{{node(1), 0}};
  EXPECT_EQ(split(1, zero).error().code, errc::invalid_argument);
  const std::vector<weighted> heavy{{node(1), limits::ledger_weight_max + 1}};
  EXPECT_EQ(split(1, heavy).error().code, errc::invalid_argument);
  const std::vector<weighted> twice{{node(1), 1}, {node(1), 1}};
  EXPECT_EQ(split(1, twice).error().code, errc::invalid_argument);
  std::vector<weighted> crowd;
  for (std::uint8_t n = 0; n <= limits::ledger_participants_max; ++n) {
    crowd.push_back({node(n), 1});
  }
  EXPECT_EQ(split(1, crowd).error().code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::ledger
