// LoRA adapters in clusters of processes: several of one base at once, each with the digest of one
// process; what is kept of one is never used for another; audits, fetching by content, and kills.
#include "compute/gguf/gguf.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;

constexpr auto tales_name = "tales-q4_k_m";
/// More than two windows.
constexpr auto fox_story =
    "Once upon a time there was a little fox who lived near a big tree. Every day the fox went to "
    "the river to drink and to look at the fish. One day the fox met a cow who could not find her "
    "way home, and the cow asked the fox for help. The fox said that the way was long, but that";

class adapters : public ::testing::Test {
protected:
  adapters() {
    std::filesystem::copy_file(source_file(fmt::format("assets/{}.gguf", tales_name)), base_);
    const loaded_model model{base_};
    write_adapter(model, "one", 21);
    write_adapter(model, "two", 22);
  }

  void write_adapter(const loaded_model& model, const std::string& name, std::uint64_t seed) const {
    learning::adapter a =
        learning::fresh_adapter(model.get(), 4, 8, learning::all_targets, seed).value();
    kernel_random random{seed};
    learning::for_each_pair(a.numbers, [&](std::size_t, std::size_t, learning::lora_pair& pair) {
      for (float& v : pair.b) {
        v = random.in(-0.05F, 0.05F);
      }
    });
    write_file(folder_.path() / (name + ".gguf"), learning::to_file(a, {}));
  }

  /// As a configuration names it; of an empty name the base.
  [[nodiscard]] std::string path(const std::string& adapter) const {
    return base_.string() + (adapter.empty() ? "" : "+" + adapter + ".gguf");
  }
  [[nodiscard]] std::string name_by_content(const std::string& adapter) const {
    return ovir_json({"model", "manifest", path(adapter)}).at("model").get<std::string>();
  }
  /// All three models with these layers.
  [[nodiscard]] std::vector<cluster_part> all_three(const std::string& layers = {}) const {
    return {{path(""), layers}, {path("one"), layers}, {path("two"), layers}};
  }
  [[nodiscard]] cluster_spec two_workers() const {
    cluster_spec spec;
    spec.nodes.push_back({"front", {"scheduler"}, all_three()});
    spec.nodes.push_back({"low", {"worker"}, all_three("0-1")});
    spec.nodes.push_back({"high", {"worker"}, all_three("2-3")});
    return spec;
  }

  /// By one process that has nothing but this.
  [[nodiscard]] json alone(const std::string& adapter, std::uint32_t tokens,
                           const std::string& text = fox_story) const {
    std::vector<std::string> arguments{
        "run", "-m", base_.string(), "-p", text, "-n", std::to_string(tokens), "--temp", "0"};
    if (!adapter.empty()) {
      arguments.insert(arguments.end(),
                       {"--adapter", (folder_.path() / (adapter + ".gguf")).string()});
    }
    return ovir_json(arguments);
  }
  static json order(const std::string& adapter, std::uint32_t tokens,
                    const std::string& text = fox_story) {
    json order{{"prompt", text},
               {"max_tokens", tokens},
               {"temperature", 0},
               {"model", std::string{tales_name} + ".gguf"}};
    if (!adapter.empty()) {
      order["adapter"] = adapter;
    }
    return order;
  }
  static json answer_of(asked_request& asked, const test_cluster& cluster) {
    json data = asked.answer();
    EXPECT_EQ(asked.failure(), "") << cluster.last_words();
    return data;
  }
  static void expect_same(const json& told, const json& expected, const std::string& of) {
    EXPECT_EQ(told.at("transcript"), expected.at("transcript")) << of;
    EXPECT_EQ(told.at("text"), expected.at("text")) << of;
  }

  temporary_folder folder_;
  std::filesystem::path base_ = folder_.path() / (std::string{tales_name} + ".gguf");
};

TEST_F(adapters, several_at_once_share_stages_and_have_the_digests_of_one_process) {
  test_cluster cluster{two_workers()};
  cluster.start();
  const std::vector<std::string> kinds{"", "one", "two", "one", "", "two"};
  std::vector<json> expected;
  for (const std::string& kind : kinds) {
    expected.push_back(alone(kind, 40));
  }
  EXPECT_NE(expected[0].at("transcript"), expected[1].at("transcript"));
  EXPECT_NE(expected[1].at("transcript"), expected[2].at("transcript"));
  std::vector<std::unique_ptr<asked_request>> asked;
  for (const std::string& kind : kinds) {
    asked.push_back(
        std::make_unique<asked_request>(cluster, std::vector<std::size_t>{0}, order(kind, 40), 1));
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const json data = answer_of(*asked[i], cluster);
    ASSERT_FALSE(data.is_null());
    expect_same(data, expected[i], "adapter '" + kinds[i] + "'");
    EXPECT_EQ(data.at("path").size(), 2U);
  }
  // All of them were sessions of one stage on each node, which reads the base's weights once.
  const std::string tree = cluster.ask(1, "tree").dump();
  std::set<std::string> stages;
  for (std::size_t at = tree.find("shard-"); at != std::string::npos;
       at = tree.find("shard-", at + 1)) {
    stages.insert(tree.substr(at, 14));
  }
  EXPECT_EQ(stages.size(), 1U) << tree;
}

TEST_F(adapters, what_is_kept_of_one_is_never_used_for_another) {
  cluster_spec spec = two_workers();
  spec.cache = "enabled = true";
  test_cluster cluster{spec};
  cluster.start();
  const auto ask = [&](const std::string& adapter, std::uint32_t tokens) {
    asked_request asked{cluster, {0}, order(adapter, tokens)};
    json data = answer_of(asked, cluster);
    expect_same(data, alone(adapter, tokens), "adapter '" + adapter + "'");
    return data.at("units").at("memory").get<std::uint64_t>();
  };
  EXPECT_EQ(ask("", 8), 0U);
  EXPECT_EQ(ask("one", 8), 0U) << "a prefix of the base";
  EXPECT_GT(ask("one", 10), 0U) << "its own prefix";
  EXPECT_EQ(ask("two", 8), 0U) << "a prefix of the other";
  EXPECT_GT(ask("", 10), 0U);
}

TEST_F(adapters, receipts_name_them_and_are_computed_again_with_them_alone) {
  const std::string receipt = (folder_.path() / "receipt").string();
  const json signed_run = ovir_json({"run", "-m", base_.string(), "--adapter",
                                     (folder_.path() / "one.gguf").string(), "-p", fox_story, "-n",
                                     "12", "--temp", "0", "--receipt", receipt, "--stages", "2"});
  EXPECT_EQ(signed_run.at("transcript"), alone("one", 12).at("transcript"));
  const auto code_with = [&](const std::string& adapter) {
    return run_ovir_verify({receipt, "--any-signer", "--model", path(adapter)}).exit_code;
  };
  EXPECT_EQ(code_with("one"), 0);
  EXPECT_NE(code_with(""), 0);
  EXPECT_NE(code_with("two"), 0);
}

TEST_F(adapters, one_is_fetched_by_content_and_a_killed_workers_request_goes_on_with_it) {
  const std::string name = name_by_content("one");
  cluster_spec spec;
  spec.nodes.push_back({"front", {"scheduler"}, {{path("")}, {path("one")}}});
  spec.nodes.push_back({"first", {"worker"}, {{path(""), "0-3"}, {path("one"), "0-3"}}});
  spec.nodes.push_back({"second", {"worker"}, {{path(""), "0-3"}, {name, "0-3"}}});
  test_cluster cluster{spec};
  cluster.start();
  ASSERT_TRUE(cluster.wait_until(
      [&] {
        const json list = cluster.ask(2, "fetches").at("fetches");
        return !list.empty() && list.back().at("state") == "done";
      },
      std::chrono::seconds{60}))
      << cluster.ask(2, "fetches").dump() << cluster.last_words();
  // The base's tensors are those of a file that is here.
  const json fetched = cluster.ask(2, "fetches").at("fetches").back();
  const std::uint64_t adapter_bytes = std::filesystem::file_size(folder_.path() / "one.gguf");
  EXPECT_LE(fetched.at("received_bytes").get<std::uint64_t>(), adapter_bytes) << fetched.dump();
  EXPECT_GT(fetched.at("local_bytes").get<std::uint64_t>(), adapter_bytes) << fetched.dump();
  const json expected = alone("one", 120);
  asked_request asked{cluster, {0}, order("one", 120), 1};
  ASSERT_TRUE(asked.wait_for_tokens(5)) << asked.failure();
  const json jobs = cluster.ask(0, "jobs").at("jobs");
  ASSERT_FALSE(jobs.empty() || jobs.at(0).at("path").empty()) << "it was over before";
  const std::string on = jobs.at(0).at("path").at(0).at("name").get<std::string>();
  cluster.kill(cluster.index_of(on));
  const json data = answer_of(asked, cluster);
  ASSERT_FALSE(data.is_null());
  expect_same(data, expected, "after " + on + " was killed");
  EXPECT_NE(data.at("path").at(0).at("name"), on);
}

TEST_F(adapters, answer_at_the_gateway_by_base_and_name) {
  const std::uint16_t port = free_port();
  child_options options;
  options.deadline = std::chrono::hours{1};
  options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
  const child_process server{{ovir_program(), "serve", "-m", base_.string(), "--adapter",
                              (folder_.path() / "one.gguf").string(), "--adapter",
                              (folder_.path() / "two.gguf").string(), "--http",
                              fmt::format("127.0.0.1:{}", port), "-t", "1"},
                             options};
  wait_until_ready(port);
  const auto told = [&](const std::string& model) {
    const json body{
        {"model", model}, {"prompt", fox_story}, {"max_tokens", 12}, {"temperature", 0}};
    const http_answer answer = http_ask(port, "POST", "/v1/completions", body.dump());
    EXPECT_EQ(answer.status, 200) << model << answer.body;
    return json::parse(answer.body).at("choices").at(0).at("text").get<std::string>();
  };
  const std::string base{tales_name};
  EXPECT_EQ(told(base), alone("", 12).at("text"));
  EXPECT_EQ(told(base + "+one"), alone("one", 12).at("text"));
  EXPECT_EQ(told(base + ".gguf+two"), alone("two", 12).at("text"));
  const http_answer none = http_ask(port, "POST", "/v1/completions",
                                    json{{"model", base + "+three"}, {"prompt", "x"}}.dump());
  EXPECT_EQ(none.status, 404);
  const json list = json::parse(http_ask(port, "GET", "/v1/models").body);
  std::set<std::string> listed;
  for (const json& model : list.at("data")) {
    listed.insert(model.at("id").get<std::string>());
  }
  EXPECT_TRUE(listed.contains(base + "+one")) << list;
  EXPECT_TRUE(listed.contains(base + "+two"));
}

} // namespace
} // namespace ovir::test
