#include "compute/text/sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

std::vector<float> ramp(std::size_t n) {
  std::vector<float> logits(n);
  for (std::size_t i = 0; i < n; ++i) {
    logits[i] = static_cast<float>(i * 37 % n) / 8.0F;
  }
  return logits;
}

std::map<token_id, int> draws(const sampling_params& params, const std::vector<float>& logits,
                              int n) {
  std::map<token_id, int> seen;
  sampler s{params};
  for (position p = 0; p < static_cast<position>(n); ++p) {
    ++seen[s.draw(logits, {}, p)];
  }
  return seen;
}

TEST(sampler, greedy_takes_the_highest_logit_and_of_equals_the_lowest_id) {
  sampler s{{}};
  EXPECT_EQ(s.draw(std::vector{1.0F, 3.0F, 3.0F, -1.0F}, {}, 0), 1U);
  EXPECT_EQ(s.draw(std::vector{-0.0F, 0.0F}, {}, 0), 0U) << "minus zero equals zero";
  EXPECT_EQ(s.draw(std::vector{-5.0F}, {}, 0), 0U);
}

TEST(sampler, the_highest_is_the_first_that_none_before_or_after_exceeds) {
  const auto plain = [](const std::vector<float>& logits) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < logits.size(); ++i) {
      best = logits[i] > logits[best] ? i : best;
    }
    return static_cast<token_id>(best);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::size_t n : {1U, 2U, 15U, 16U, 17U, 511U, 512U, 513U, 530U, 1600U}) {
    for (std::size_t at = 0; at < n; at += n < 20 ? 1 : 7) {
      std::vector<float> logits(n, -1.5F);
      for (const float value : {-0.0F, 2.0F, infinity, -infinity, nan}) {
        logits[at] = value;
        EXPECT_EQ(highest_of(logits), plain(logits)) << n << " " << at << " " << value;
        logits[n - 1 - at / 2] = value == 0 ? 0.0F : value;
        EXPECT_EQ(highest_of(logits), plain(logits)) << n << " " << at << " " << value;
        logits[n - 1 - at / 2] = -1.5F;
      }
    }
    EXPECT_EQ(highest_of(ramp(n)), plain(ramp(n)));
  }
}

TEST(sampler, greedy_still_applies_the_repeat_penalty) {
  sampler s{{.repeat_penalty = 2}};
  const std::vector<token_id> history{1};
  EXPECT_EQ(s.draw(std::vector{2.0F, 3.0F}, history, 0), 0U) << "3 / 2 is below 2";
  EXPECT_EQ(s.draw(std::vector{-3.0F, -2.0F}, history, 0), 0U) << "-2 * 2 is below -3";
}

TEST(sampler, the_penalty_counts_an_id_once_and_looks_back_64_ids) {
  sampler s{{.repeat_penalty = 2}};
  std::vector<token_id> history(64, 1);
  EXPECT_EQ(s.draw(std::vector{2.0F, 5.0F}, history, 0), 1U) << "5 / 2, not 5 / 2^64";
  history.assign(64, 2);
  history[0] = 1;
  EXPECT_EQ(s.draw(std::vector{2.0F, 3.0F, 0.0F}, history, 0), 0U) << "64 ids back";
  history.push_back(2);
  EXPECT_EQ(s.draw(std::vector{2.0F, 3.0F, 0.0F}, history, 0), 1U) << "65 ids back";
}

TEST(sampler, an_overflowing_penalty_or_temperature_still_gives_a_token) {
  constexpr float huge = 3e38F;
  const std::vector<token_id> history{0, 1};
  sampler s{{.temperature = 1e-3F, .repeat_penalty = 0.01F}};
  EXPECT_EQ(s.draw(std::vector{huge, -huge, 1.0F}, history, 0), 0U);
}

TEST(sampler, top_k_one_and_a_tiny_top_p_are_greedy) {
  const std::vector<float> logits = ramp(100);
  const token_id best = sampler{{}}.draw(logits, {}, 0);
  EXPECT_EQ(draws({.temperature = 100, .top_k = 1}, logits, 50).size(), 1U);
  EXPECT_EQ(draws({.temperature = 100, .top_k = 1}, logits, 50).begin()->first, best);
  EXPECT_EQ(draws({.temperature = 100, .top_p = 1e-12}, logits, 50).begin()->first, best);
}

TEST(sampler, top_p_keeps_the_shortest_prefix_that_reaches_p) {
  // Weights 2^32 each: two of four reach exactly one half, three are needed beyond it.
  const std::vector<float> equal(4, 1.0F);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.5}, equal, 200).size(), 2U);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.5000001}, equal, 200).size(), 3U);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 1}, equal, 200).size(), 4U);
}

TEST(sampler, min_p_keeps_what_is_likely_enough_beside_the_first) {
  // e^-1 = 0.3679, e^-2 = 0.1353.
  const std::vector<float> logits{2.0F, 1.0F, 0.0F};
  EXPECT_EQ(draws({.temperature = 100, .min_p = 0.36}, logits, 200).size(), 2U);
  EXPECT_EQ(draws({.temperature = 100, .min_p = 0.37}, logits, 200).size(), 1U);
  EXPECT_EQ(draws({.temperature = 100, .min_p = 0.13}, logits, 200).size(), 3U);
}

TEST(sampler, temperature_comes_last_and_changes_the_odds) {
  const std::vector<float> logits{1.0F, 0.0F};
  const int cold = draws({.temperature = 0.25F}, logits, 2'000)[1];
  const int warm = draws({.temperature = 1}, logits, 2'000)[1];
  const int hot = draws({.temperature = 1'000}, logits, 2'000)[1];
  EXPECT_NEAR(cold, 36, 25);   // 1 / (1 + e^4) = 0.018
  EXPECT_NEAR(warm, 538, 80);  // 1 / (1 + e) = 0.269
  EXPECT_NEAR(hot, 1'000, 90); // one half
}

TEST(sampler, golden_tokens_are_those_of_every_machine) {
  const std::vector<float> logits = ramp(257);
  std::vector<token_id> plain;
  std::vector<token_id> all;
  sampler a{{.temperature = 1, .seed = 1}};
  sampler b{{.temperature = 1.5F,
             .top_k = 100,
             .top_p = 0.9,
             .min_p = 0.02,
             .repeat_penalty = 1.25F,
             .seed = 0xFEDCBA9876543210U}};
  for (position p = 0; p < 12; ++p) {
    plain.push_back(a.draw(logits, plain, p));
    all.push_back(b.draw(logits, all, p));
  }
  EXPECT_THAT(plain, testing::ElementsAre(118, 111, 111, 118, 97, 111, 111, 83, 104, 250, 55, 208));
  EXPECT_THAT(all, testing::ElementsAre(97, 118, 215, 83, 243, 236, 69, 180, 62, 111, 222, 48));
}

TEST(sampler, a_token_depends_on_its_arguments_alone) {
  const std::vector<float> logits = ramp(50);
  sampler fresh{{.temperature = 2, .seed = 7}};
  sampler used{{.temperature = 2, .seed = 7}};
  (void)used.draw(ramp(500), {}, 3);
  EXPECT_EQ(fresh.draw(logits, {}, 9), used.draw(logits, {}, 9));
}

// logit - frequency * count - presence, counted over what was drawn: OpenAI's definition.
TEST(sampler, presence_is_taken_once_and_frequency_as_often_as_a_token_was_drawn) {
  const std::vector<float> logits{3.0F, 2.0F, 0.0F};
  const std::vector<token_id> three{0, 0, 0};
  const auto taken = [&](float presence, float frequency, const std::vector<token_id>& output) {
    sampling_params p;
    p.presence_penalty = presence;
    p.frequency_penalty = frequency;
    return sampler{p}.draw(logits, three, 3, {}, output);
  };
  EXPECT_EQ(taken(0.75F, 0, three), 0U) << "3 - 0.75 is above 2";
  EXPECT_EQ(taken(1.5F, 0, three), 1U);
  EXPECT_EQ(taken(0, 0.25F, three), 0U) << "3 - 3 * 0.25 is above 2";
  EXPECT_EQ(taken(0, 0.5F, three), 1U);
  EXPECT_EQ(taken(0, 0.5F, {0}), 0U) << "3 - 0.5 is above 2";
  EXPECT_EQ(taken(2, 2, {}), 0U) << "tokens of the prompt do not count";
  EXPECT_EQ(taken(-2, 0, {2, 2}), 0U);
  EXPECT_EQ(taken(0, -2, {2, 2}), 2U) << "0 + 4";
}

TEST(sampler, each_operation_rounds_to_binary32_in_the_order_of_the_page) {
  // fl(0.1 * 3), fl(x - that), fl(that - 0.9), and the other order is another number.
  const float x = 3.0F;
  const float often = 3.0F * 0.1F;
  const float first = x - often;
  const float right = first - 0.9F;
  ASSERT_NE(right, (x - 0.9F) - often);
  sampling_params p;
  p.presence_penalty = 0.9F;
  p.frequency_penalty = 0.1F;
  const std::vector<token_id> output{1, 1, 1};
  EXPECT_EQ(sampler{p}.draw(std::vector{right, x}, {}, 3, {}, output), 0U) << "equal: lowest id";
  EXPECT_EQ(sampler{p}.draw(std::vector{std::nextafterf(right, 0.0F), x}, {}, 3, {}, output), 1U);
}

TEST(sampler, a_bias_is_added_last_and_an_unknown_token_has_none) {
  sampling_params p;
  p.logit_bias = {{1, 2.5F}, {900, 100.0F}};
  EXPECT_EQ(sampler{p}.draw(std::vector{2.0F, 0.0F}, {}, 0), 1U);
  EXPECT_EQ(sampler{p}.draw(std::vector{3.0F, 0.0F}, {}, 0), 0U);
  p.repeat_penalty = 4; // of the logit, before the bias
  EXPECT_EQ(sampler{p}.draw(std::vector{3.25F, 4.0F}, std::vector<token_id>{1}, 0), 1U);
  EXPECT_FALSE(sampler{p}.takes_highest());
}

TEST(sampler, overflowing_biases_and_penalties_still_give_a_token) {
  constexpr float most = std::numeric_limits<float>::max();
  sampling_params p;
  p.logit_bias = {{0, -100.0F}, {1, 100.0F}};
  p.presence_penalty = -2;
  p.temperature = 1e-3F;
  EXPECT_EQ(sampler{p}.draw(std::vector{-most, most}, {}, 0, {}, std::vector<token_id>{0, 1}), 1U);
}

TEST(sampling_params, are_checked_and_the_message_names_parameter_value_and_range) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({.temperature = 0.7F, .top_p = 0.9, .min_p = 0.05, .repeat_penalty = 1.1F}));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float t : {-1.0F, 0.0005F, 1001.0F, nan}) {
    const auto r = check({.temperature = t});
    ASSERT_FALSE(r) << t;
    EXPECT_EQ(r.error().code, errc::invalid_argument);
    EXPECT_THAT(r.error().message, HasSubstr("temperature is"));
    EXPECT_THAT(r.error().message, HasSubstr("0.001 and at most 1000"));
  }
  for (const double p : {0.0, -0.5, 1.0001, double{nan}}) {
    EXPECT_FALSE(check({.top_p = p})) << p;
  }
  for (const double p : {1.0, -0.1, double{nan}}) {
    EXPECT_FALSE(check({.min_p = p})) << p;
  }
  for (const float p : {0.0F, 0.009F, 100.5F, nan}) {
    EXPECT_FALSE(check({.repeat_penalty = p})) << p;
  }
  for (const float x : {-2.1F, 2.1F, nan}) {
    sampling_params a;
    a.presence_penalty = x;
    EXPECT_THAT(check(a).error().message, HasSubstr("presence_penalty is"));
    sampling_params b;
    b.frequency_penalty = x;
    EXPECT_THAT(check(b).error().message, HasSubstr("at least -2 and at most 2"));
  }
}

TEST(sampling_params, have_few_biases_in_order_and_none_of_them_zero) {
  const auto with = [](std::vector<token_bias> biases) {
    sampling_params p;
    p.logit_bias = std::move(biases);
    return check(p);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(with({{0, -100.0F}, {7, 100.0F}}));
  for (const float bias : {0.0F, 100.5F, -100.5F, nan}) {
    EXPECT_FALSE(with({{3, bias}})) << bias;
  }
  EXPECT_FALSE(with({{7, 1.0F}, {7, 1.0F}}));
  EXPECT_FALSE(with({{8, 1.0F}, {7, 1.0F}}));
  EXPECT_FALSE(with({{limits::vocabulary_max, 1.0F}}));
  std::vector<token_bias> many;
  for (token_id id = 0; id < limits::token_biases_max; ++id) {
    many.push_back({id, 1.0F});
  }
  EXPECT_TRUE(with(many));
  many.push_back({limits::vocabulary_max - 1, 1.0F});
  EXPECT_EQ(with(many).error().code, errc::over_limit);
}

TEST(sampling_params, of_a_constrained_answer_name_no_least_length) {
  sampling_params p;
  p.min_tokens = 3;
  EXPECT_TRUE(check(p));
  p.constraint = "{}";
  EXPECT_THAT(check(p).error().message, HasSubstr("min_tokens"));
}

TEST(sampling_params, of_command_lines_put_biases_in_order) {
  const std::vector<std::string> texts{"9=1.5", "2=-100", "5=0"};
  EXPECT_EQ(biases_from(texts).value(), (std::vector<token_bias>{{2, -100.0F}, {9, 1.5F}}));
  for (const std::string wrong : {"", "9", "=1", "9=", "9=x", "-1=2", "9=1 ", "a=1"}) {
    EXPECT_THAT(biases_from(std::vector{wrong}).error().message, HasSubstr("17=-1.5")) << wrong;
  }
  EXPECT_FALSE(biases_from(std::vector<std::string>{"7=1", "07=1"}));
}

} // namespace
} // namespace ovir::compute
