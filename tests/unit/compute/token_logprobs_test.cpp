#include "compute/text/token_logprobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace ovir::compute {
namespace {

/// Logits as models give them, by a generator that is the same everywhere.
std::vector<float> logits_of(std::uint64_t seed, std::size_t count, float scale) {
  std::vector<float> logits(count);
  for (float& logit : logits) {
    seed = seed * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
    logit = scale * (static_cast<float>(seed >> 40U) * 0x1p-23F - 1);
  }
  return logits;
}

double reference(const std::vector<float>& logits, token_id token) {
  long double sum = 0;
  const long double highest = *std::max_element(logits.begin(), logits.end());
  for (const float logit : logits) {
    sum += std::exp(static_cast<long double>(logit) - highest);
  }
  return static_cast<double>(static_cast<long double>(logits[token]) - highest - std::log(sum));
}

TEST(token_logprobs, are_logarithms_of_the_softmax) {
  for (const std::size_t count : {1U, 2U, 7U, 300U, 50'000U}) {
    for (const float scale : {0.01F, 1.0F, 12.0F, 200.0F}) {
      const auto logits = logits_of(count, count, scale);
      const token_logprobs all = logprobs_of(logits, 0, 20);
      ASSERT_EQ(all.top.size(), std::min<std::size_t>(20, count));
      for (const token_logprob& one : all.top) {
        const double expected = reference(logits, one.token);
        EXPECT_NEAR(one.logprob, expected, 3e-7 * (1 + std::abs(expected)))
            << count << " logits up to " << scale;
      }
      const double expected = reference(logits, 0);
      EXPECT_NEAR(all.drawn, expected, 3e-7 * (1 + std::abs(expected)));
    }
  }
}

TEST(token_logprobs, the_likeliest_come_first_and_of_equals_the_lowest_id) {
  const std::vector<float> logits{1, 3, 2, 3, -4, 2};
  const token_logprobs told = logprobs_of(logits, 4, 5);
  std::vector<token_id> ids;
  for (const token_logprob& one : told.top) {
    ids.push_back(one.token);
  }
  EXPECT_EQ(ids, (std::vector<token_id>{1, 3, 2, 5, 0}));
  EXPECT_EQ(told.top[0].logprob, told.top[1].logprob);
  EXPECT_LT(told.drawn, told.top[4].logprob) << "the token drawn need not be among them";
  EXPECT_TRUE(logprobs_of(logits, 1, 0).top.empty());
}

TEST(token_logprobs, are_these_bits_on_every_machine) {
  EXPECT_EQ(logprobs_of(std::vector<float>{5}, 0, 1), (token_logprobs{0, {{0, 0}}}));
  EXPECT_EQ(logprobs_of(std::vector<float>{2, 2}, 1, 0).drawn, -0.693147180559945F);
  const auto logits = logits_of(7, 1'000, 9.0F);
  const token_logprobs told = logprobs_of(logits, 123, 2);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(told.drawn), 3'245'704'355U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(told.top[0].logprob), 3'229'271'531U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(told.top[1].logprob), 3'229'279'139U);
}

TEST(token_logprobs, do_not_depend_on_where_a_token_stands) {
  auto logits = logits_of(3, 4'096, 6.0F);
  const float first = logprobs_of(logits, 0, 0).drawn;
  std::swap(logits.front(), logits.back());
  std::reverse(logits.begin() + 1, logits.end() - 1);
  EXPECT_EQ(logprobs_of(logits, 4'095, 0).drawn, first);
}

TEST(token_logprobs, stay_finite_and_at_most_zero_wherever_logits_lie) {
  constexpr float most = std::numeric_limits<float>::max();
  const token_logprobs told = logprobs_of(std::vector<float>{most, -most, 0}, 1, 3);
  EXPECT_EQ(told.drawn, -most);
  EXPECT_EQ(told.top[0].logprob, 0);
  EXPECT_EQ(told.top[1].logprob, -most);
  // What a last stage that lies may send: nothing is promised but that it ends well.
  constexpr float none = std::numeric_limits<float>::quiet_NaN();
  constexpr float endless = std::numeric_limits<float>::infinity();
  for (const auto& logits : {std::vector<float>{none, 1, none}, std::vector<float>{1, none, 2},
                             std::vector<float>{endless, 1, -endless}}) {
    const token_logprobs wrong = logprobs_of(logits, 1, 3);
    EXPECT_TRUE(std::isfinite(wrong.drawn));
    EXPECT_EQ(wrong.top.size(), 3U);
  }
}

} // namespace
} // namespace ovir::compute
