// One transcript digest per request for every architecture and every tensor type that has kernels
// of its own, over threads x stages x instruction sets, and when actors are killed and their work
// is replayed. Prompts are longer than the windows of those that have one, and so are answers.
#include "actors/stage/kill_plan.hpp"
#include "compute/make/synth.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace ovir {
namespace {

using actors::generation_request;
using compute::kernel_set;
using supervision::cluster_options;
using supervision::local_cluster;
using supervision::run_report;

struct cut {
  std::uint32_t threads;
  std::uint32_t stages;
  std::uint32_t chunk;
};
constexpr cut cuts[] = {{1, 1, 64}, {2, 3, 7}, {3, 2, 64}, {7, 6, 16}};
constexpr std::size_t tokens_max = 24;
constexpr std::uint64_t kill_seed = 5;

/// How many of `kills` an answer of `tokens` tokens meets: where it ends before its limit, with a
/// token that ends a text, the points behind its end are never reached.
std::uint32_t kills_within(std::size_t tokens, std::uint32_t kills) {
  actors::kill_plan plan{kills, kill_seed, tokens_max};
  std::uint32_t met = 0;
  while (plan.due(tokens, true)) {
    ++met;
  }
  return met;
}

class families : public testing::Test {
protected:
  void use(std::vector<std::byte> bytes) {
    model_ = std::make_unique<test::loaded_model>(std::move(bytes));
    vocabulary_ = compute::tokenizer::make(model_->file()).value();
  }

  run_report run(const cut& c, const kernel_set& kernels, std::uint32_t kills = 0) {
    cluster_options options;
    options.threads = c.threads;
    options.stages = c.stages;
    options.prefill_chunk = c.chunk;
    options.restarts_max = 1'000;
    options.restart_backoff = std::chrono::milliseconds{1};
    generation_request request;
    for (std::uint32_t i = 0; i < 50; ++i) {
      request.prompt.push_back((i * 7919 + 31) % model_->get().config.vocabulary);
    }
    request.sampling.temperature = 0.8F;
    request.sampling.seed = 7;
    request.max_tokens = tokens_max;
    request.kill_shards = kills;
    request.kill_seed = kill_seed;
    auto cluster = local_cluster::start(model_->get(), *vocabulary_, kernels, *env_, options);
    EXPECT_TRUE(cluster) << cluster.error().message;
    auto report = (*cluster)->run(request, {}, nullptr);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : run_report{};
  }

  void expect_one_digest() {
    const auto wanted = to_hex(run(cuts[0], compute::kernels_reference()).transcript);
    EXPECT_EQ(to_hex(run(cuts[1], compute::kernels_reference()).transcript), wanted);
    for (const auto* const set : compute::fast_kernels_here()) {
      for (const cut& c : cuts) {
        ASSERT_EQ(to_hex(run(c, *set).transcript), wanted)
            << set->name << ", " << c.threads << " threads, " << c.stages << " stages";
      }
    }
    constexpr std::uint32_t kills = 8;
    const run_report hurt = run({2, 4, 16}, *compute::select_kernels(std::nullopt).value(), kills);
    EXPECT_GT(hurt.restarts, 0U);
    EXPECT_EQ(hurt.restarts, kills_within(hurt.tokens.size(), kills))
        << "of an answer of " << hurt.tokens.size() << " tokens";
    EXPECT_EQ(to_hex(hurt.transcript), wanted);
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<test::loaded_model> model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
};

/// A window in all layers, as Mistral's files have it.
test::architecture_case mistral() {
  return {"mistral", "llama",
          [](test::gguf_builder& b) { b.u32("llama.attention.sliding_window", 16); }};
}

std::vector<test::architecture_case> all_families() {
  auto all = test::architecture_cases();
  all.push_back(mistral());
  return all;
}

class architecture_in : public families,
                        public testing::WithParamInterface<test::architecture_case> {};

TEST_P(architecture_in, every_cut_has_one_digest) {
  use(test::architecture_model(GetParam()));
  expect_one_digest();
}

INSTANTIATE_TEST_SUITE_P(all, architecture_in, testing::ValuesIn(all_families()),
                         [](const auto& one) { return one.param.name; });

class type_in : public families, public testing::WithParamInterface<compute::synth_quantization> {};

TEST_P(type_in, every_cut_has_one_digest) {
  compute::synth_spec spec;
  spec.layers = 8;
  spec.quantization = GetParam();
  use(test::synthetic_model(spec));
  expect_one_digest();
}

INSTANTIATE_TEST_SUITE_P(all, type_in,
                         testing::Values(compute::synth_quantization::q2_k,
                                         compute::synth_quantization::q3_k,
                                         compute::synth_quantization::q5_k,
                                         compute::synth_quantization::iq4_xs),
                         [](const auto& one) { return std::string{compute::name_of(one.param)}; });

TEST_F(families, a_window_shows_in_the_digest) {
  use(test::architecture_model(mistral()));
  const auto with = run(cuts[0], compute::kernels_reference()).transcript;
  use(test::architecture_model({"llama", "llama"}));
  EXPECT_NE(run(cuts[0], compute::kernels_reference()).transcript, with);
}

} // namespace
} // namespace ovir
