// A worker lies while nobody looks, and another takes its K and V over: the receipt of the second
// request shows whose they are, and the audit convicts the first worker and nobody else.
#include "messages/evidence/receipt.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

namespace ovir::test {
namespace {

constexpr std::size_t liar = 4;
constexpr std::size_t honest = 5;

class lying_blocks : public ::testing::Test {
protected:
  lying_blocks() {
    compute::synth_spec large; // so that everybody expects fetching to be faster than computing
    large.layers = 8;
    large.dim = 512;
    large.ffn_dim = 2'048;
    large.heads = 8;
    large.kv_heads = 1;
    write_file(model_, synthetic_model(large));
    const std::string path = model_.string();
    std::vector<cluster_node> nodes{
        {"scheduler", {"scheduler"}, {{path}}}, {"verifier-0", {"verifier"}, {{path}}},
        {"verifier-1", {"verifier"}, {{path}}}, {"one", {"worker"}, {{path, "0-3"}}},
        {"two", {"worker"}, {{path, "4-7"}}},   {"three", {"worker"}, {{"embedded"}}}};
    nodes[liar].program = OVIR_LIAR_PROGRAM;
    nodes[liar].environment = {
        {"OVIR_LIE", "wrong_output"}, {"OVIR_LIE_SEED", "3"}, {"OVIR_LIE_PPM", "1000000"}};
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = nodes,
                     .tables = "[audit]\nleast_rate_ppm = 1000000\nevery_request = false\n",
                     .cache = "enabled = true"});
    cluster_->start();
    const apps::json seen = cluster_->ask(0, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      keys_[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    }
  }

  apps::json ask(std::uint32_t seed, bool with_receipt) {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < 100; ++i) { // three whole windows
      tokens.push_back(3 + (i * 7919) % 250);
    }
    cluster_shell shell = cluster_->shell({0});
    const apps::shell_outcome outcome =
        shell.call("run", {{"request", fmt::format("{:016x}", seed)},
                           {"tokens", tokens},
                           {"max_tokens", 8},
                           {"temperature", 0.8},
                           {"seed", seed},
                           {"receipt", with_receipt}});
    EXPECT_EQ(failure_text(outcome), "") << cluster_->last_words();
    const auto* const data = std::get_if<apps::json>(&outcome);
    return data == nullptr ? apps::json::object() : *data;
  }
  /// The third worker knows of so many blocks of each of the two that computed.
  [[nodiscard]] bool knows_of(std::uint64_t names) const {
    const apps::json told = cluster_->ask(honest, "cache");
    const apps::json& members = told.at("peers").at("members");
    return std::count_if(members.begin(), members.end(),
                         [&](const apps::json& m) { return m.at("names") == names; }) == 2;
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
  std::unique_ptr<test_cluster> cluster_;
  std::map<std::string, std::string> keys_;
};

TEST_F(lying_blocks, convict_their_author_wherever_they_are_used) {
  static_cast<void>(ask(1, false));
  ASSERT_TRUE(cluster_->wait_until([&] { return knows_of(12); })) << cluster_->ask(honest, "cache");
  cluster_shell first = cluster_->shell({liar});
  static_cast<void>(first.data("unload synthetic.gguf"));
  cluster_shell other = cluster_->shell({honest});
  static_cast<void>(other.data(fmt::format("load {} --first 4 --last 7", model_.string())));
  ASSERT_TRUE(cluster_->wait_until([&] {
    const apps::json models = cluster_->ask(0, "models").at("models");
    return std::any_of(models.begin(), models.end(), [&](const apps::json& model) {
      const std::string holders = model.at("holders").dump();
      return model.at("complete") == true && holders.find("\"three\"") != std::string::npos &&
             holders.find("\"two\"") == std::string::npos;
    });
  })) << cluster_->ask(0, "models");
  const apps::json told = ask(2, true);
  EXPECT_EQ(told.at("units").at("peer"), 12) << told.at("units");
  ASSERT_TRUE(told.at("receipt").contains("bytes")) << told.at("receipt");
  const auto everywhere = [&] {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      const apps::json known =
          i == liar ? apps::json::array() : cluster_->ask(i, "audits").at("convictions");
      if (i != liar && (known.size() != 1 || known[0].at("node") != keys_.at("two"))) {
        return false;
      }
    }
    return true;
  };
  EXPECT_TRUE(cluster_->wait_until(everywhere, std::chrono::seconds{60})) << cluster_->last_words();
}

} // namespace
} // namespace ovir::test
