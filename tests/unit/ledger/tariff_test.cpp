#include "ledger/rules/tariff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace ovir::ledger {
namespace {

TEST(tariff, a_token_costs_one_credit_up_to_32_gib_and_then_in_proportion_rounded_up) {
  EXPECT_EQ(model_rate(0).value(), credit);
  EXPECT_EQ(model_rate(std::uint64_t{1} << 35U).value(), credit);
  EXPECT_EQ(model_rate((std::uint64_t{1} << 35U) + 1).value(), credit + 1);
  EXPECT_EQ(model_rate(std::uint64_t{3} << 35U).value(), 3 * credit);
  EXPECT_EQ(model_rate(~std::uint64_t{0}).value(), (std::uint64_t{1} << 29U) * credit);
}

TEST(tariff, the_rate_of_a_path_is_the_mean_of_the_asks_by_layers_rounded_up) {
  const std::array even{priced_stage{2, 1'000'000}, priced_stage{2, 3'000'000}};
  EXPECT_EQ(path_rate(credit, even).value(), 2 * credit);
  const std::array uneven{priced_stage{1, 1'000'000}, priced_stage{2, 1'000'001}};
  EXPECT_EQ(path_rate(credit, uneven).value(), credit + 1);
  const std::array cheap{priced_stage{1, 1}};
  EXPECT_EQ(path_rate(1, cheap).value(), 1U);
  EXPECT_EQ(path_rate(0, cheap).value(), 0U); // nothing is charged
}

TEST(tariff, refuses_paths_that_have_no_price) {
  EXPECT_EQ(path_rate(credit, {}).error().code, errc::invalid_argument);
  for (const priced_stage s :
       {priced_stage{0, 1}, priced_stage{1, 0}, priced_stage{1, limits::ledger_ask_ppm_max + 1},
        priced_stage{limits::ledger_layers_max + 1, 1}}) {
    EXPECT_EQ(path_rate(credit, std::array{s}).error().code, errc::invalid_argument);
  }
  const std::array stage{priced_stage{1, limits::ledger_ask_ppm_max}};
  EXPECT_EQ(path_rate(limits::ledger_rate_max, stage).error().code, errc::over_limit);
  const std::vector many(limits::ledger_participants_max + 1, priced_stage{1, 1});
  EXPECT_EQ(path_rate(credit, many).error().code, errc::invalid_argument);
}

TEST(tariff, prices_that_do_not_fit_are_refused_not_wrapped) {
  EXPECT_EQ(token_price(3, 4, 10).value(), 70U);
  EXPECT_EQ(token_price(limits::ledger_tokens_max, 0, limits::ledger_rate_max).error().code,
            errc::over_limit);
  EXPECT_EQ(token_price(limits::ledger_tokens_max + 1, 0, 1).error().code, errc::over_limit);
}

TEST(tariff, deltas_along_a_frontier_add_up_to_the_settlement) {
  std::uint64_t accounted = 0;
  std::uint64_t sum = 0;
  bool prompt_accounted = false;
  for (const std::uint64_t frontier : {0U, 32U, 32U, 20U, 64U, 65U}) {
    const token_delta d = delta_at(100, prompt_accounted, frontier, accounted);
    sum += token_price(d.prompt, d.completion, 7).value();
    prompt_accounted = true;
    accounted = std::max(accounted, frontier);
  }
  EXPECT_EQ(sum, token_price(100, 65, 7).value());
  EXPECT_EQ(delta_at(100, true, 65, 65), token_delta{});
}

TEST(tariff, reward_factors_follow_their_formulas_and_stay_within_their_bounds) {
  EXPECT_EQ(deadline_factor_ppm(1, 2), 1'000'000U);
  EXPECT_EQ(deadline_factor_ppm(0, 2), 500'000U);
  EXPECT_EQ(deadline_factor_ppm(~std::uint64_t{0}, 1), 1'500'000U);
  EXPECT_EQ(deadline_factor_ppm(1, 0), 1'500'000U);
  EXPECT_EQ(bottleneck_factor_ppm(0), 1'000'000U);
  EXPECT_EQ(bottleneck_factor_ppm(500'000), 1'150'000U);
  EXPECT_EQ(bottleneck_factor_ppm(~std::uint64_t{0}), 1'300'000U);
  EXPECT_EQ(reputation_factor_ppm(0), 800'000U);
  EXPECT_EQ(reputation_factor_ppm(500'000), 1'000'000U);
  EXPECT_EQ(reputation_factor_ppm(~std::uint64_t{0}), 1'200'000U);
}

TEST(tariff, weights_multiply_layers_ask_and_factors_within_their_bound) {
  EXPECT_EQ(stage_weight({4, 2'000'000}, {}), 8'000'000U);
  EXPECT_EQ(stage_weight({4, 2'000'000}, {1'500'000, 1'300'000, 800'000}), 12'480'000U);
  EXPECT_EQ(stage_weight({1, 1}, {500'000, 1'000'000, 800'000}), 1U);
  EXPECT_LE(stage_weight({~0U, ~std::uint64_t{0}}, {~std::uint64_t{0}, 1, 1}),
            limits::ledger_weight_max);
}

} // namespace
} // namespace ovir::ledger
