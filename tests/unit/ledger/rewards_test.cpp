// What a window pays, divided by Divy's weights in whole numbers and by ODSI's factors.
#include "ledger/rules/policy_reference.hpp"
#include "ledger/rules/rewards.hpp"
#include "ledger/rules/split.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace ovir::ledger {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

/// The same as Divy has it: each worker of capacity 1, its columns the layers.
std::vector<double> reference_shares(const std::vector<stage_part>& parts, std::uint64_t model) {
  reference::job j;
  j.model_bytes = model;
  j.prompt_tokens = 1;
  std::uint64_t at = 0;
  for (const stage_part& p : parts) {
    reference::assignment a;
    a.capacity_units = 1;
    a.execution_ms = p.took_us / 1'000;
    a.column_first = at;
    a.column_last = at += p.work.layers;
    a.memory_bytes = p.memory_bytes;
    j.assignments.push_back(a);
  }
  j.columns = at;
  std::vector<double> shares;
  const auto delta = reference::realtime_delta(j);
  for (const auto& c : delta->contributions) {
    shares.push_back(c.normalized_share);
  }
  return shares;
}

TEST(rewards, by_divy_are_those_of_the_reference) {
  std::mt19937_64 random{7};
  const auto below = [&](std::uint64_t most) { return random() % most; };
  for (int round = 0; round < 2'000; ++round) {
    std::vector<stage_part> parts(2 + below(7));
    std::uint32_t layers = 0;
    for (stage_part& p : parts) {
      p.work = {static_cast<std::uint32_t>(1 + below(40)), 1'000'000};
      p.took_us = 1'000 * (1 + below(2'000));
      layers += p.work.layers;
    }
    const std::uint64_t model = layers * (1 + below(gib));
    for (stage_part& p : parts) {
      p.bytes = model / layers * p.work.layers;
      p.memory_bytes = below(3) == 0 ? 0 : 1 + below(40 * gib);
    }
    const auto weights = divy_weights(parts);
    const auto expected = reference_shares(parts, model);
    const auto sum = static_cast<double>(std::accumulate(weights.begin(), weights.end(), 0ULL));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(weights[i]) / sum, expected[i], 3e-6) << round;
    }
  }
}

TEST(rewards, by_divy_are_neutral_where_somebodys_time_was_not_seen) {
  std::vector<stage_part> parts(2);
  parts[0] = {{3, 1'000'000}, 500, 0, 1};
  parts[1] = {{1, 2'000'000}, 0, 0, 1};
  EXPECT_THAT(divy_weights(parts), ElementsAre(3 * 850'000U, 2 * 850'000U));
  parts[1].took_us = 100'000; // its rate is far below the median of both
  const auto seen = divy_weights(parts);
  EXPECT_GT(seen[0], 3 * 850'000U);
  EXPECT_EQ(seen[1], 850'000U);
}

TEST(rewards, by_divy_leave_out_who_computed_nothing) {
  const std::vector<stage_part> parts{{{2, 1'000'000}, 4'000, 0, 0}, {{0, 1'000'000}, 0, 0, 0}};
  EXPECT_EQ(divy_weights(parts)[0], 2U * 1'150'000);
}

TEST(rewards, by_factors_follow_what_others_saw_and_else_the_plan) {
  std::vector<stage_part> parts(2);
  parts[0] = {{1, 1'000'000}, 3'000, 0, 0};
  parts[1] = {{1, 1'000'000}, 1'000, 0, 0};
  const std::vector<stage_terms> terms{{100, 400, 500'000}, {300, 400, 500'000}};
  // 10 steps: 300 and 100 us of 400 each, three quarters and one of the path.
  EXPECT_THAT(odsi_weights(parts, terms, 10), ElementsAre(1'250'000ULL * 1'225'000 / 1'000'000,
                                                          750'000ULL * 1'075'000 / 1'000'000));
  // Planned the other way round.
  EXPECT_THAT(odsi_weights(parts, terms, 0), ElementsAre(750'000ULL * 1'075'000 / 1'000'000,
                                                         1'250'000ULL * 1'225'000 / 1'000'000));
}

TEST(rewards, have_names) {
  for (const reward_rule rule : {reward_rule::work, reward_rule::factors, reward_rule::divy}) {
    EXPECT_EQ(reward_rule_from(to_string(rule)), rule);
  }
  EXPECT_FALSE(reward_rule_from("all"));
}

} // namespace
} // namespace ovir::ledger
