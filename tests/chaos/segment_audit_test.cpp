// Audits by verifiers that hold one segment of the model: they fetch what a lying stage says it was
// given, compute its windows again in one pass each, and convict it. No verifier has another layer.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>

namespace ovir::test {
namespace {

constexpr std::size_t scheduler = 0;
constexpr std::size_t liar = 2;
constexpr std::size_t first_verifier = 4;

class segment_audit : public ::testing::Test {
protected:
  void start(const std::map<std::string, std::string>& lie) {
    compute::synth_spec spec;
    spec.layers = 22;
    write_file(model_, synthetic_model(spec));
    const std::string path = model_.string();
    const std::string name = ovir_json({"model", "manifest", path}).at("model").get<std::string>();
    // By name: of the file, the verifiers fetch their layers alone.
    std::vector<cluster_node> nodes{{"scheduler", {"scheduler"}, {{path}}},
                                    {"front", {"worker"}, {{path, "0-3"}}},
                                    {"middle", {"worker"}, {{path, "4-7"}}},
                                    {"back", {"worker"}, {{path, "8-21"}}},
                                    {"verifier-0", {"worker", "verifier"}, {{name, "4-7"}}},
                                    {"verifier-1", {"worker", "verifier"}, {{name, "4-7"}}}};
    nodes[liar].environment = lie;
    nodes[liar].program = lie.empty() ? std::string{} : OVIR_LIAR_PROGRAM;
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = nodes, .tables = "[audit]\nleast_rate_ppm = 1000000\n"});
    cluster_->start();
    for (const std::size_t v : verifiers_) {
      ASSERT_TRUE(cluster_->wait_until([&] { return holds_its_layers(v); }))
          << cluster_->last_words();
      // So that requests are given to the other holder.
      (void)cluster_->ask(v, "chaos delay " + cluster_->node(v).name + " --ms 100");
    }
    const apps::json seen = cluster_->ask(scheduler, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      keys_[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    }
    ASSERT_TRUE(cluster_->wait_until([&] {
      const apps::json stages = cluster_->ask(scheduler, "plan").at("stages");
      return stages.size() == 3 && stages[1].at("node") == "middle";
    })) << cluster_->ask(scheduler, "plan");
  }

  /// 70 positions of prompt and 30 drawn: three whole windows and a part of one.
  void ask() const {
    std::vector<token_id> prompt;
    for (token_id i = 0; i < 70; ++i) {
      prompt.push_back(3 + i * 7 % 290);
    }
    cluster_shell shell = cluster_->shell({scheduler});
    const auto outcome =
        shell.call("run", {{"tokens", prompt}, {"max_tokens", 30}, {"speculate", "off"}});
    EXPECT_EQ(failure_text(outcome), "") << cluster_->last_words();
  }
  [[nodiscard]] bool holds_its_layers(std::size_t node) const {
    const std::filesystem::path log = cluster_->folder() / (cluster_->node(node).name + ".log");
    return read_file(log).find("holds layers") != std::string::npos;
  }
  /// Of both verifiers.
  [[nodiscard]] std::uint64_t audited(const char* what) const {
    std::uint64_t all = 0;
    for (const std::size_t v : verifiers_) {
      all += cluster_->ask(v, "audits").at(what).get<std::uint64_t>();
    }
    return all;
  }
  [[nodiscard]] bool all_know_of(const std::string& key) const {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      const apps::json known =
          i == liar ? apps::json::array() : cluster_->ask(i, "audits").at("convictions");
      if (i != liar && (known.size() != 1 || known[0].at("node") != key)) {
        return false;
      }
    }
    return true;
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
  std::unique_ptr<test_cluster> cluster_;
  std::map<std::string, std::string> keys_;
  const std::vector<std::size_t> verifiers_{first_verifier, first_verifier + 1};
};

TEST_F(segment_audit, convicts_a_liar_whose_layers_alone_the_verifiers_hold) {
  start({{"OVIR_LIE", "wrong_output"}, {"OVIR_LIE_SEED", "3"}, {"OVIR_LIE_PPM", "1000000"}});
  ask();
  EXPECT_TRUE(cluster_->wait_until([&] { return all_know_of(keys_.at("middle")); },
                                   std::chrono::seconds{60}))
      << cluster_->last_words();
  EXPECT_GT(audited("from_inputs"), 0U);
  EXPECT_EQ(audited("from_tokens"), 0U);
}

TEST_F(segment_audit, looks_at_every_window_of_an_honest_stage_and_counts_the_others) {
  start({});
  ask();
  ASSERT_TRUE(cluster_->wait_until([&] { return audited("from_inputs") >= 4; }))
      << cluster_->ask(first_verifier, "audits");
  EXPECT_EQ(audited("from_inputs"), 4U); // of the whole request: positions 0 to 98
  EXPECT_EQ(audited("from_tokens"), 0U);
  EXPECT_EQ(audited("withheld"), 0U);
  // Of two stages no verifier has the layers.
  EXPECT_EQ(cluster_->ask(scheduler, "audits").at("unaudited"), 1);
}

} // namespace
} // namespace ovir::test
