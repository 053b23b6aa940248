// Groups within one process: one digest over members, shares, layer cuts, instruction sets and
// kills.
#include "compute/parts/local_group.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using nlohmann::json;

TEST(group_run, prints_one_digest_over_groups_of_one_to_four) {
  std::set<std::string> transcripts;
  for (const std::vector<std::string>& how :
       {std::vector<std::string>{"--group", "1"},
        {"--group", "2", "--threads", "1"},
        {"--group", "3", "--stages", "2"},
        {"--group", "4", "--isa", "reference"},
        {"--group", "2", "--stages", "3", "--drill", "2", "--drill-seed", "7"}}) {
    std::vector<std::string> arguments{"run", "-p", "Once upon a time", "-n", "40"};
    arguments.insert(arguments.end(), how.begin(), how.end());
    const json told = ovir_json(arguments);
    ASSERT_TRUE(told.is_object()) << how[1];
    transcripts.insert(told["transcript"].get<std::string>());
  }
  EXPECT_EQ(transcripts.size(), 1U);
}

/// Segments of groups with these shares; the weights were checked, on this thread.
auto segments_of_groups(std::vector<std::uint32_t> shares, compute::cut_wish wish) {
  return [shares = std::move(shares),
          wish](const compute::model& checked, layer_range layers,
                const compute::kernel_set& kernels) -> result<std::unique_ptr<compute::segment>> {
    OVIR_ASSIGN(const auto cut, compute::cut_segment(checked, layers, shares, wish));
    compute::serial_runner runner;
    OVIR_ASSIGN(auto engine, compute::local_group::make(checked, cut, kernels, runner));
    return compute::segment::make_with(checked, layers, kernels, std::move(engine));
  };
}

/// A request on clusters of one process that differ in all that must not matter.
class one_digest {
public:
  explicit one_digest(const loaded_model& model)
      : model_(model), vocabulary_(compute::tokenizer::make(model.file()).value()) {
    for (std::uint32_t i = 0; i < 40; ++i) {
      asked_.prompt.push_back((i * 7919 + 31) % model.get().config.vocabulary);
    }
    asked_.max_tokens = 30;
    asked_.drafts = speculation::off;
  }

  void run(const std::vector<std::uint32_t>& shares, const compute::cut_wish& wish,
           compute::isa set, std::uint32_t stages, std::uint32_t kills) {
    const auto kernels = compute::select_kernels(set);
    if (!kernels) {
      return; // this processor has not got it
    }
    supervision::cluster_options how;
    how.stages = stages;
    how.prefill_chunk = 16 + stages;
    how.make_segment = segments_of_groups(shares, wish);
    auto cluster =
        supervision::local_cluster::start(model_.get(), *vocabulary_, **kernels, *env_, how);
    ASSERT_TRUE(cluster) << cluster.error().message;
    actors::generation_request own = asked_;
    own.kill_shards = kills;
    own.kill_seed = 5 + runs_;
    const auto report = (*cluster)->run(own, {}, nullptr);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->restarts > 0, kills > 0);
    digests_.insert(to_hex(report->transcript));
    ++runs_;
  }
  void run_all() {
    const compute::cut_wish rows{};
    const compute::cut_wish columns{compute::output_cut::columns, compute::output_cut::columns, 0};
    for (const auto& shares : std::vector<std::vector<std::uint32_t>>{
             {1}, {1, 1}, {1, 3}, {1, 1, 1}, {5, 1, 2}, {1, 1, 1, 1}, {1, 4, 2, 1}}) {
      for (const auto set : {compute::isa::reference, compute::isa::avx2, compute::isa::avx512,
                             compute::isa::neon, compute::isa::dotprod, compute::isa::i8mm}) {
        ASSERT_NO_FATAL_FAILURE(run(shares, rows, set, 1, 0));
      }
      for (const std::uint32_t stages : {2U, 3U}) {
        ASSERT_NO_FATAL_FAILURE(run(shares, columns, compute::isa::reference, stages, stages - 1));
      }
    }
    EXPECT_EQ(digests_.size(), 1U);
    EXPECT_GE(runs_, 21U);
  }

private:
  const loaded_model& model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  actors::generation_request asked_;
  std::set<std::string> digests_;
  std::size_t runs_{0};
};

TEST(group_run, has_one_digest_over_shares_layer_cuts_instruction_sets_and_kills) {
  compute::synth_spec spec;
  spec.layers = 3;
  spec.ffn_dim = 1024;
  spec.heads = 8;
  spec.kv_heads = 4;
  const loaded_model model{synthetic_model(spec)};
  one_digest{model}.run_all();
}

TEST(group_run, has_one_digest_also_of_a_mixture_of_experts) {
  for (const architecture_case& one : architecture_cases()) {
    if (one.name == "qwen2moe") {
      const loaded_model model{architecture_model(one)};
      return one_digest{model}.run_all();
    }
  }
  FAIL() << "there is no such architecture";
}

TEST(group_run, is_for_what_can_be_cut_exactly) {
  const child_result fast =
      run_ovir({"run", "-p", "Once", "--group", "2", "--profile", "fast", "-n", "1"});
  EXPECT_NE(fast.exit_code, 0);
  EXPECT_THAT(fast.err, testing::HasSubstr("leave out --profile fast"));
  EXPECT_NE(run_ovir({"run", "-p", "Once", "--group", "17"}).exit_code, 0);
}

} // namespace
} // namespace ovir::test
