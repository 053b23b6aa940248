#include "tests/support/ledger/economy.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::test {
namespace {

economy_result market_of(const ledger::policy& rules, std::uint64_t seed, std::uint64_t requests) {
  economy_options o;
  o.rules = rules;
  o.seed = seed;
  o.requests = requests;
  return run_economy(o);
}

double best_cheat(const economy_result& r) {
  return std::max_element(r.by_strategy.begin() + 1, r.by_strategy.end(),
                          [](const auto& a, const auto& b) { return a.mean < b.mean; })
      ->mean;
}

TEST(economy, no_strategy_earns_more_than_honesty_under_accepted_policies) {
  for (const ledger::policy& rules : {bonded_policy(), zero_bond_policy()}) {
    ASSERT_TRUE(ledger::check(rules)) << ledger::check(rules).error().message;
    for (const std::uint64_t seed : {1ULL, 2ULL}) {
      const economy_result r = market_of(rules, seed, 2'000);
      EXPECT_GT(r.by_strategy[0].mean, 0) << "honesty must pay";
      EXPECT_GT(r.by_strategy[0].mean, best_cheat(r)) << "seed " << seed;
      EXPECT_EQ(r.honest_convicted, 0U);
      for (const strategy_earnings& e : r.by_strategy) {
        EXPECT_EQ(e.cheated > 0, e.what != strategy::honest) << to_string(e.what);
      }
    }
  }
}

TEST(economy, cheating_pays_under_policies_that_the_ledger_refuses) {
  for (const ledger::policy& rules : {bonded_policy(), zero_bond_policy()}) {
    const ledger::policy seldom = seldom_audited(rules);
    EXPECT_FALSE(ledger::check(seldom)) << "this one must be refused";
    const economy_result r = market_of(seldom, 1, 4'000);
    EXPECT_GT(best_cheat(r), r.by_strategy[0].mean);
  }
}

TEST(economy, a_seed_gives_the_same_market_again) {
  const economy_result a = market_of(bonded_policy(), 9, 400);
  const economy_result b = market_of(bonded_policy(), 9, 400);
  const economy_result c = market_of(bonded_policy(), 10, 400);
  for (std::size_t s = 0; s < strategies; ++s) {
    EXPECT_EQ(a.by_strategy[s].course, b.by_strategy[s].course);
  }
  EXPECT_NE(a.by_strategy[0].course, c.by_strategy[0].course);
}

} // namespace
} // namespace ovir::test
