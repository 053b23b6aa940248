// One transcript digest per request, whether one process answers it or nodes of a cluster do: one,
// two, three or five workers that hold the model among them, one to eight requests at once.
#include "compute/kernels/formats/packed_weights.hpp"
#include "messages/sanitized.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::uint32_t requests_max = 8;
constexpr std::uint32_t layers = 8;

/// 70 positions of prompt, more than two windows and more than a chunk; each request another. Every
/// second one repeats itself, so that guesses of what follows can be right.
actors::generation_request request_number(std::uint32_t number, std::uint32_t vocabulary) {
  actors::generation_request r;
  for (std::uint32_t i = 0; i < 70; ++i) {
    const std::uint32_t word = number % 2 == 0 ? i : i % 7;
    r.prompt.push_back((word * 7919 + number * 104'729 + 31) % vocabulary);
  }
  r.drafts = speculation::off;
  if (number % 2 == 1) { // greedy
    r.max_tokens = 40 + number;
    return r;
  }
  r.sampling.temperature = 0.8F;
  r.sampling.top_k = 40;
  r.sampling.repeat_penalty = 1.1F;
  r.sampling.seed = 7 + number;
  r.max_tokens = 8 + number;
  return r;
}

/// The same as the admin command has it. Floats are widened, so that they are narrowed to the same.
apps::json arguments_of(const actors::generation_request& r) {
  return {{"tokens", r.prompt},
          {"max_tokens", r.max_tokens},
          {"temperature", static_cast<double>(r.sampling.temperature)},
          {"top_k", r.sampling.top_k},
          {"repeat_penalty", static_cast<double>(r.sampling.repeat_penalty)},
          {"seed", r.sampling.seed},
          {"speculate", "on"}};
}

class node_cluster : public ::testing::Test {
protected:
  void use(const std::filesystem::path& path) {
    path_ = path;
    const loaded_model model{path};
    const auto vocabulary = compute::tokenizer::make(model.file()).value();
    const auto* const kernels = compute::select_kernels(std::nullopt).value();
    for (std::uint32_t i = 0; i < requests_max; ++i) {
      requests_.push_back(request_number(i, model.get().config.vocabulary));
      auto alone = supervision::local_cluster::start(model.get(), *vocabulary, *kernels, *env_, {});
      ASSERT_TRUE(alone) << alone.error().message;
      const auto report = (*alone)->run(requests_.back(), {}, nullptr);
      ASSERT_TRUE(report) << report.error().message;
      expected_.push_back(*report);
    }
  }

  /// A scheduler and workers with as many layers each, or one more.
  [[nodiscard]] std::vector<cluster_node> nodes(std::uint32_t workers) const {
    std::vector<cluster_node> all{{"scheduler", {"scheduler"}, {{path_.string()}}}};
    for (std::uint32_t i = 0; i < workers; ++i) {
      all.push_back({fmt::format("worker-{}", i),
                     {"worker"},
                     {{path_.string(), fmt::format("{}-{}", layers * i / workers,
                                                   layers * (i + 1) / workers - 1)}}});
    }
    return all;
  }

  void expect_one_digest(std::uint32_t workers) {
    test_cluster cluster{{.nodes = nodes(workers)}};
    cluster.start();
    for (std::uint32_t at_once = 1; at_once <= requests_max; ++at_once) {
      ASSERT_NO_FATAL_FAILURE(expect_one_digest_on(cluster, workers, at_once));
    }
  }

  void expect_one_digest_on(test_cluster& cluster, std::uint32_t workers, std::uint32_t at_once) {
    std::vector<std::unique_ptr<asked_request>> asked;
    for (std::uint32_t i = 0; i < at_once; ++i) {
      asked.push_back(std::make_unique<asked_request>(cluster, std::vector<std::size_t>{0},
                                                      arguments_of(requests_[i]), 1 + 4 * i));
    }
    for (std::uint32_t i = 0; i < at_once; ++i) {
      const apps::json data = asked[i]->answer();
      ASSERT_EQ(asked[i]->failure(), "") << cluster.last_words();
      ASSERT_EQ(data.at("transcript"), to_hex(expected_[i].transcript))
          << workers << " workers, request " << i << " of " << at_once << " at once";
      drafted_ += data.at("speculation").at("drafted").get<std::uint64_t>();
      accepted_ += data.at("speculation").at("accepted").get<std::uint64_t>();
      ASSERT_EQ(data.at("text"), expected_[i].text);
      ASSERT_EQ(data.at("tokens").get<std::vector<token_id>>(), expected_[i].tokens);
      std::set<std::string> on_path;
      for (const apps::json& stage : data.at("path")) {
        on_path.insert(stage.at("name").get<std::string>());
      }
      ASSERT_EQ(on_path.size(), workers) << "not every worker was needed: " << data.at("path");
    }
  }

  std::uint64_t drafted_{0}; // of all requests
  std::uint64_t accepted_{0};
  temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::filesystem::path path_;
  std::vector<actors::generation_request> requests_;
  std::vector<supervision::run_report> expected_;
};

class synthetic_on : public node_cluster, public ::testing::WithParamInterface<std::uint32_t> {};
class minimind_on : public node_cluster, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(synthetic_on, workers_has_the_digest_of_one_process) {
  compute::synth_spec spec;
  spec.layers = layers;
  const std::filesystem::path path = folder_.path() / "synthetic.gguf";
  write_file(path, synthetic_model(spec));
  ASSERT_NO_FATAL_FAILURE(use(path));
  expect_one_digest(GetParam());
  EXPECT_GT(accepted_, 0U) << "no guess was right";
  EXPECT_GT(drafted_, accepted_) << "no guess was wrong";
}

TEST_P(minimind_on, workers_has_the_digest_of_one_process) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  ASSERT_NO_FATAL_FAILURE(use(path));
  expect_one_digest(GetParam());
}

/// Models whose layers choose among experts, by the name of their case.
class experts_on : public node_cluster, public ::testing::WithParamInterface<const char*> {};

TEST_P(experts_on, three_workers_have_the_digest_of_one_process_and_the_memory_that_was_planned) {
  const std::vector<architecture_case> cases = architecture_cases();
  const auto wanted = std::find_if(cases.begin(), cases.end(),
                                   [](const architecture_case& c) { return c.name == GetParam(); });
  ASSERT_NE(wanted, cases.end());
  const std::filesystem::path path = folder_.path() / "experts.gguf";
  write_file(path, architecture_model(*wanted));
  ASSERT_NO_FATAL_FAILURE(use(path));
  test_cluster cluster{{.nodes = nodes(3)}};
  cluster.start();
  expect_one_digest_on(cluster, 3, requests_max);
  const loaded_model model{path};
  const apps::json planned = cluster.ask(0, "plan");
  std::size_t stages = 0;
  for (const apps::json& stage : planned.at("stages")) {
    ++stages;
    std::uint64_t held = 0;
    for (auto l = stage.at("first_layer").get<layer_index>();
         l <= stage.at("last_layer").get<layer_index>(); ++l) {
      held += compute::held_bytes(model.get().layers[l]);
    }
    EXPECT_GE(stage.at("weight_bytes").get<std::uint64_t>(), held);
    const auto use = cluster.use(cluster.index_of(stage.at("node").get<std::string>()));
    ASSERT_TRUE(use);
    // The plan takes 24 MiB for the program itself, which has some 33 after eight requests, with
    // what audits may ask for on its way to the disk; GnuTLS and the other libraries of links have
    // 3.4, and the memory that two neighbours share with it up to 2 each. 1 is code that came
    // later: pages of the program's file, which every process of a machine shares.
    constexpr std::uint64_t program_more = 21U << 20U;
    if (!address_sanitized) {
      EXPECT_LE(use->peak_bytes, stage.at("memory_bytes").get<std::uint64_t>() + program_more)
          << stage;
    }
  }
  EXPECT_EQ(stages, 3U);
}

/// Models with windows shorter than the prompts, by the name of their case.
class windows_on : public node_cluster, public ::testing::WithParamInterface<const char*> {};

TEST_P(windows_on, three_workers_have_the_digest_of_one_process_also_when_one_is_killed) {
  const std::vector<architecture_case> cases = architecture_cases();
  const auto wanted = std::find_if(cases.begin(), cases.end(),
                                   [](const architecture_case& c) { return c.name == GetParam(); });
  ASSERT_NE(wanted, cases.end());
  const std::filesystem::path path = folder_.path() / "windows.gguf";
  write_file(path, architecture_model(*wanted));
  ASSERT_NO_FATAL_FAILURE(use(path));
  // Of the middle layers there are two holders, so that one can go.
  std::vector<cluster_node> all = nodes(3);
  all.push_back(all[2]);
  all.back().name = "worker-3";
  test_cluster cluster{{.nodes = all}};
  cluster.start();
  asked_request asked{cluster, {0}, arguments_of(requests_[1]), 1};
  const apps::json data = asked.answer();
  ASSERT_EQ(asked.failure(), "") << cluster.last_words();
  EXPECT_EQ(data.at("transcript"), to_hex(expected_[1].transcript));
  std::string middle;
  for (const apps::json& stage : data.at("path")) {
    const auto name = stage.at("name").get<std::string>();
    middle = name == "worker-1" || name == "worker-3" ? name : middle;
  }
  ASSERT_NE(middle, "") << data.at("path");
  asked_request again{cluster, {0}, arguments_of(requests_[1]), 1};
  ASSERT_TRUE(again.wait_for_tokens(3)) << again.failure();
  cluster.kill(cluster.index_of(middle));
  const apps::json after = again.answer();
  ASSERT_EQ(again.failure(), "") << cluster.last_words();
  EXPECT_EQ(after.at("transcript"), to_hex(expected_[1].transcript));
}

INSTANTIATE_TEST_SUITE_P(models, windows_on, ::testing::Values("gemma2", "gemma3"),
                         [](const auto& one) { return std::string{one.param}; });
INSTANTIATE_TEST_SUITE_P(models, experts_on, ::testing::Values("mixtral", "qwen2moe", "qwen3moe"),
                         [](const auto& one) { return std::string{one.param}; });
INSTANTIATE_TEST_SUITE_P(workers, synthetic_on, ::testing::Values(1, 2, 3, 5));
INSTANTIATE_TEST_SUITE_P(workers, minimind_on, ::testing::Values(1, 2, 3, 5));

} // namespace
} // namespace ovir::test
