// Guesses of a small model change the speed of a request and nothing else: one transcript without
// and with them, whatever the model guesses, at every temperature, over stages, kills and
// processes.
#include "compute/make/synth.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace ovir {
namespace {

using supervision::cluster_options;
using supervision::local_cluster;

compute::synth_spec drafted_shape(std::uint64_t seed) {
  compute::synth_spec spec;
  spec.layers = 4;
  spec.seed = seed;
  return spec;
}

class draft_model_exactness : public testing::Test {
protected:
  draft_model_exactness() {
    request_.max_tokens = 48;
    for (std::uint32_t i = 0; i < 70; ++i) {
      request_.prompt.push_back((i * 7'919 + 31) % 250);
    }
  }

  /// `drafts`: null, none.
  [[nodiscard]] supervision::run_report run(const test::loaded_model* drafts, std::uint32_t stages,
                                            speculation mode, std::uint32_t kills = 0) {
    const auto& kernels = *compute::select_kernels(std::nullopt).value();
    cluster_options options;
    options.threads = 2;
    options.stages = stages;
    options.restarts_max = std::max(options.restarts_max, kills);
    if (drafts != nullptr) {
      compute::model checked = drafts->get();
      compute::serial_runner runner;
      EXPECT_TRUE(compute::check_weights(checked, {0, checked.config.layers}, runner));
      options.draft =
          actors::draft_model::make(checked, kernels, *vocabulary_, *vocabulary_, nullptr).value();
    }
    auto cluster = local_cluster::start(model_.get(), *vocabulary_, kernels, *env_, options);
    EXPECT_TRUE(cluster) << cluster.error().message;
    actors::generation_request request = request_;
    request.drafts = mode;
    request.kill_shards = kills;
    request.kill_seed = 47;
    const auto report = (*cluster)->run(request, {}, nullptr);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : supervision::run_report{};
  }

  void expect_one_transcript(bool same_model_is_right) {
    const auto plain = run(nullptr, 1, speculation::off);
    const std::string expected = to_hex(plain.transcript);
    for (const std::uint32_t stages : {1U, 3U}) {
      const auto good = run(&model_, stages, speculation::on);
      EXPECT_EQ(to_hex(good.transcript), expected);
      EXPECT_EQ(good.tokens, plain.tokens);
      EXPECT_GT(good.drafted, 0U);
      if (same_model_is_right) { // lookups among the guesses may be wrong
        EXPECT_GT(good.accepted, 24U);
      }
      const auto bad = run(&other_, stages, speculation::on);
      EXPECT_EQ(to_hex(bad.transcript), expected);
      EXPECT_GT(bad.drafted, bad.accepted);
    }
    EXPECT_EQ(to_hex(run(&model_, 2, speculation::automatic).transcript), expected);
    const auto killed = run(&model_, 2, speculation::on, 3);
    EXPECT_GT(killed.restarts, 0U);
    EXPECT_EQ(to_hex(killed.transcript), expected);
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  test::loaded_model model_{test::synthetic_model(drafted_shape(1))};
  test::loaded_model other_{test::synthetic_model(drafted_shape(2))};
  std::unique_ptr<compute::tokenizer> vocabulary_ = compute::tokenizer::make(model_.file()).value();
  actors::generation_request request_;
};

TEST_F(draft_model_exactness, greedy_requests_have_one_transcript) { expect_one_transcript(true); }

// The model draws with the request's own chance, so that the same logits give the same token.
TEST_F(draft_model_exactness, requests_with_a_temperature_have_one_transcript) {
  request_.sampling.temperature = 0.9F;
  request_.sampling.top_k = 40;
  request_.sampling.repeat_penalty = 1.1F;
  request_.sampling.seed = 99;
  expect_one_transcript(true);
}

TEST_F(draft_model_exactness, penalties_and_biases_have_one_transcript) {
  request_.sampling.presence_penalty = 0.5F;
  request_.sampling.logit_bias = {{77, 2.0F}};
  request_.sampling.min_tokens = 40;
  expect_one_transcript(false);
}

TEST_F(draft_model_exactness, a_request_without_guesses_asks_no_model) {
  EXPECT_EQ(run(&model_, 2, speculation::off).drafted, 0U);
}

// As the configuration of a scheduler names it, over processes.
TEST(draft_model, of_a_scheduler_guesses_for_requests_over_nodes) {
  const test::temporary_folder folder;
  const auto path = folder.path() / "large.gguf";
  const auto small = folder.path() / "small.gguf";
  test::write_file(path, test::synthetic_model(drafted_shape(1)));
  test::write_file(small, test::synthetic_model(drafted_shape(1))); // right, so far as it guesses
  test::cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{path.string(), "", small.string()}}},
                {"left", {"worker"}, {{path.string(), "0-1"}}},
                {"right", {"worker"}, {{path.string(), "2-3"}}}};
  test::test_cluster cluster{spec};
  cluster.start();
  test::cluster_shell shell = cluster.shell({0});
  std::vector<token_id> prompt;
  for (std::uint32_t i = 0; i < 70; ++i) {
    prompt.push_back((i * 7'919 + 31) % 250);
  }
  const auto ask = [&](const char* mode) {
    const auto outcome = shell.call("run", {{"tokens", prompt},
                                            {"max_tokens", 48},
                                            {"temperature", 0.9},
                                            {"seed", 5},
                                            {"speculate", mode}});
    EXPECT_EQ(test::failure_text(outcome), "") << cluster.last_words();
    const auto* const data = std::get_if<apps::json>(&outcome);
    return data == nullptr ? apps::json{} : *data;
  };
  const auto plain = ask("off");
  const auto guessed = ask("on");
  EXPECT_EQ(plain.at("speculation").at("drafted"), 0);
  EXPECT_GT(guessed.at("speculation").at("accepted"), 24) << guessed.dump();
  EXPECT_EQ(guessed.at("transcript"), plain.at("transcript"));
  EXPECT_EQ(guessed.at("text"), plain.at("text"));
}

} // namespace
} // namespace ovir
