// Penalties, biases and least lengths are part of what is exact: one digest for one process, for
// two stages, with guesses, and where a stage is killed.
#include "compute/make/synth.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace ovir {

namespace {

using actors::generation_request;
using supervision::cluster_options;
using supervision::local_cluster;

class sampling_exactness : public testing::Test {
protected:
  sampling_exactness() {
    compute::synth_spec spec;
    spec.layers = 4;
    model_ = std::make_unique<test::loaded_model>(test::synthetic_model(spec));
    vocabulary_ = compute::tokenizer::make(model_->file()).value();
    request_.prompt.assign(40, 31);
    request_.max_tokens = 40;
    request_.stop = {"never to be found"};
  }

  [[nodiscard]] supervision::run_report run(std::uint32_t stages, std::uint32_t kills = 0,
                                            speculation drafts = speculation::off) {
    cluster_options options;
    options.threads = 2;
    options.stages = stages;
    options.restarts_max = std::max(options.restarts_max, kills);
    auto cluster =
        local_cluster::start(model_->get(), *vocabulary_,
                             *compute::select_kernels(std::nullopt).value(), *env_, options);
    EXPECT_TRUE(cluster) << cluster.error().message;
    generation_request request = request_;
    request.kill_shards = kills;
    request.kill_seed = 47;
    request.drafts = drafts;
    const auto report = (*cluster)->run(request, {}, nullptr);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : supervision::run_report{};
  }

  void expect_one_digest() {
    const auto whole = run(1);
    const std::string expected = to_hex(whole.transcript);
    EXPECT_EQ(to_hex(run(2).transcript), expected);
    EXPECT_EQ(to_hex(run(2, 0, speculation::on).transcript), expected);
    const auto killed = run(2, 2);
    EXPECT_GT(killed.restarts, 0U);
    EXPECT_EQ(to_hex(killed.transcript), expected);
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<test::loaded_model> model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
  generation_request request_;
};

} // namespace

TEST_F(sampling_exactness, penalties_by_count_give_one_digest_and_fewer_repetitions) {
  const auto distinct = [](std::vector<token_id> tokens) {
    std::sort(tokens.begin(), tokens.end());
    return std::unique(tokens.begin(), tokens.end()) - tokens.begin();
  };
  const auto plain = run(1).tokens;
  request_.sampling.presence_penalty = 2;
  request_.sampling.frequency_penalty = 2;
  const auto penalized = run(1).tokens;
  EXPECT_NE(plain, penalized);
  EXPECT_GE(distinct(penalized), distinct(plain));
  expect_one_digest();
}

TEST_F(sampling_exactness, biases_give_one_digest_and_the_tokens_they_force) {
  const auto plain = run(1).tokens;
  request_.sampling.logit_bias = {{77, 100.0F}};
  EXPECT_EQ(run(1).tokens, std::vector<token_id>(40, 77)) << "a bias beyond all logits";
  request_.sampling.logit_bias = {{plain.at(0), -100.0F}};
  request_.sampling.temperature = 0.8F;
  request_.sampling.seed = 7;
  const auto banned = run(1).tokens;
  EXPECT_EQ(std::count(banned.begin(), banned.end(), plain.at(0)), 0);
  expect_one_digest();
}

TEST_F(sampling_exactness, an_answer_that_wants_to_end_goes_on_to_its_least_length) {
  const auto& ends = vocabulary_->words().ends();
  ASSERT_FALSE(ends.empty());
  for (const token_id end : ends) {
    request_.sampling.logit_bias.push_back({end, 100.0F});
  }
  EXPECT_EQ(run(1).tokens.size(), 1U);
  request_.sampling.min_tokens = 35;
  const auto long_enough = run(1).tokens;
  EXPECT_EQ(long_enough.size(), 36U);
  EXPECT_TRUE(vocabulary_->ends_generation(long_enough.back()));
  expect_one_digest();
}

} // namespace ovir
