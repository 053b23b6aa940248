// The kinds of lie as processes: a cluster in which one node lies in one way in all that it does.
// What is wrong in its bits convicts it and nobody else; what is wrong in its words earns it
// nothing, and costs the receipt, not the answer.
#include "messages/evidence/receipt.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/greedy_answer.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <ostream>

namespace ovir::test {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t scheduler = 0;
constexpr std::size_t first_worker = 3;

/// A way to lie, and by whom: 0 to 2, the first, middle and last stage; 3, the scheduler.
struct told {
  const char* way;
  std::size_t by;

  friend void PrintTo(const told& t, std::ostream* to) { *to << t.way << " by " << t.by; }
};

class lying_nodes : public ::testing::TestWithParam<told> {
protected:
  void SetUp() override {
    compute::synth_spec spec;
    spec.layers = 9;
    path_ = (folder_.path() / "synthetic.gguf").string();
    write_file(path_, synthetic_model(spec));
    std::vector<cluster_node> nodes{
        {"scheduler", {"scheduler"}, {{path_}}}, {"verifier-0", {"verifier"}, {{path_}}},
        {"verifier-1", {"verifier"}, {{path_}}}, {"one", {"worker"}, {{path_, "0-2"}}},
        {"two", {"worker"}, {{path_, "3-5"}}},   {"three", {"worker"}, {{path_, "6-8"}}}};
    liar_ = GetParam().by == 3 ? scheduler : first_worker + GetParam().by;
    nodes[liar_].program = OVIR_LIAR_PROGRAM;
    nodes[liar_].environment = {
        {"OVIR_LIE", GetParam().way}, {"OVIR_LIE_SEED", "3"}, {"OVIR_LIE_PPM", "1000000"}};
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = nodes, .tables = "[audit]\nleast_rate_ppm = 300000\n"});
    cluster_->start();
    const apps::json seen = cluster_->ask(scheduler, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      keys_[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    }
    for (token_id i = 0; i < 36; ++i) {
      prompt_.push_back(3 + i * 7 % 290);
    }
  }

  [[nodiscard]] asked_request ask() const {
    apps::json request{
        {"tokens", prompt_}, {"max_tokens", 29}, {"speculate", "off"}, {"receipt", true}};
    if (std::string{GetParam().way} == "sampling") { // else its last stage chooses
      request["repeat_penalty"] = 1.1;
    }
    return {*cluster_, {scheduler}, std::move(request)};
  }
  [[nodiscard]] apps::json convictions(std::size_t at) const {
    return cluster_->ask(at, "audits").at("convictions");
  }
  /// All nodes but the liar know of exactly this one.
  [[nodiscard]] bool everywhere(const std::string& key) const {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      const apps::json known = i == liar_ ? apps::json::array() : convictions(i);
      if (i != liar_ && (known.size() != 1 || known[0].at("node") != key)) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] bool nothing_waits() const {
    const auto idle = [&](std::size_t v) {
      const apps::json data = cluster_->ask(v, "audits");
      return data.at("waiting") == 0 && data.at("open") == 0;
    };
    return idle(1) && idle(2);
  }
  [[nodiscard]] const std::string& liars_key() const {
    return keys_.at(cluster_->node(liar_).name);
  }

  temporary_folder folder_;
  std::string path_;
  std::size_t liar_{0};
  std::unique_ptr<test_cluster> cluster_;
  std::map<std::string, std::string> keys_;
  std::vector<token_id> prompt_;
};

class lies_in_bits : public lying_nodes {};

TEST_P(lies_in_bits, convict_their_author_on_every_node_and_nobody_else) {
  bool caught = false;
  for (int i = 0; i < 3 && !caught; ++i) { // one that lies about every other needs two
    asked_request asked = ask();
    ASSERT_TRUE(cluster_->wait_until(
        [&] {
          caught = !convictions(1).empty();
          return caught || asked.over();
        },
        std::chrono::seconds{60}))
        << cluster_->last_words();
    caught =
        caught || !cluster_->wait_until([&] { return nothing_waits(); }) || !convictions(1).empty();
  }
  ASSERT_TRUE(
      cluster_->wait_until([&] { return everywhere(liars_key()); }, std::chrono::seconds{60}))
      << cluster_->last_words();
  const apps::json known = convictions(1)[0];
  if (liar_ != scheduler) {
    const auto layer = known.at("layer").get<std::uint64_t>();
    EXPECT_EQ(layer / 3, GetParam().by) << known;
  }
}

INSTANTIATE_TEST_SUITE_P(
    ways, lies_in_bits,
    ::testing::Values(told{"wrong_output", 0}, told{"wrong_output", 1}, told{"wrong_output", 2},
                      told{"scaled", 1}, told{"smaller_model", 2}, told{"quantised", 1},
                      told{"skipped", 2}, told{"stale_kv", 1}, told{"swapped_positions", 2},
                      told{"logits", 2}, told{"claimed", 0}, told{"claimed", 1},
                      told{"equivocation", 1}, told{"kv", 1}, told{"choice", 2},
                      told{"sampling", 3}),
    [](const auto& of) { return std::string{of.param.way} + "_" + std::to_string(of.param.by); });

class lies_in_words : public lying_nodes {};

TEST_P(lies_in_words, cost_the_receipt_and_neither_the_answer_nor_an_honest_node) {
  const loaded_model model{path_};
  asked_request asked = ask();
  const apps::json data = asked.answer();
  ASSERT_EQ(asked.failure(), "") << cluster_->last_words();
  const auto tokens = data.at("tokens").get<std::vector<token_id>>();
  ASSERT_FALSE(tokens.empty());
  EXPECT_EQ(tokens, greedy_answer(model.get(), prompt_, tokens.size()));
  const apps::json& receipt = data.at("receipt");
  ASSERT_TRUE(receipt.is_object()) << data;
  if (std::string{GetParam().way} == "forged_timing") {
    // A claim. What it says of itself is not what the lead saw.
    ASSERT_TRUE(receipt.contains("bytes")) << receipt;
    const auto hex = receipt.at("bytes").get<std::string>();
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    const auto r = decode_receipt(bytes);
    ASSERT_TRUE(r) << r.error().message;
    EXPECT_LE(r->stages[GetParam().by].statements.front().elapsed_us, 1U);
    EXPECT_GT(r->stages[(GetParam().by + 1) % 3].statements.front().elapsed_us, 1U);
    EXPECT_GT(r->prefill_us + r->decode_us, 1U);
  } else {
    ASSERT_TRUE(receipt.contains("error")) << receipt;
    const std::string layers = "layers " + std::to_string(3 * GetParam().by) + " to " +
                               std::to_string(3 * GetParam().by + 2);
    EXPECT_THAT(receipt.at("error").get<std::string>(),
                testing::AnyOf(HasSubstr(liars_key().substr(0, 8)), HasSubstr(layers)));
  }
  EXPECT_TRUE(cluster_->wait_until([&] { return nothing_waits(); }));
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    EXPECT_TRUE(convictions(i).empty()) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(ways, lies_in_words,
                         ::testing::Values(told{"other_key", 0}, told{"replayed", 1},
                                           told{"withheld", 2}, told{"forged_timing", 1}),
                         [](const auto& of) {
                           return std::string{of.param.way} + "_" + std::to_string(of.param.by);
                         });

/// Nodes of which one signs no statement, and one more has its layers.
class withheld : public ::testing::Test {
protected:
  withheld() {
    compute::synth_spec spec; // so large that an answer takes some seconds
    spec.layers = 9;
    spec.dim = 512;
    spec.ffn_dim = 2'048;
    spec.heads = 8;
    spec.kv_heads = 1;
    spec.context = 8'192;
    write_file(path_, synthetic_model(spec));
    std::vector<cluster_node> nodes{{"scheduler", {"scheduler"}, {{path_}}},
                                    {"one", {"worker"}, {{path_, "0-2"}}},
                                    {"silent", {"worker"}, {{path_, "3-5"}}},
                                    {"three", {"worker"}, {{path_, "6-8"}}},
                                    {"spare", {"worker"}, {{path_, "3-5"}}}};
    nodes[2].program = OVIR_LIAR_PROGRAM;
    nodes[2].environment = {{"OVIR_LIE", "withheld"}};
    cluster_ = std::make_unique<test_cluster>(cluster_spec{.nodes = nodes});
    cluster_->start();
  }
  [[nodiscard]] asked_request ask(std::uint32_t tokens) {
    apps::json request{{"max_tokens", tokens}, {"speculate", "off"}, {"receipt", true}};
    for (token_id i = 0; i < 36; ++i) {
      request["tokens"].push_back(3 + i * 7 % 290);
    }
    return {*cluster_, {scheduler}, std::move(request)};
  }
  [[nodiscard]] std::string key_of(const std::string& name) const {
    const apps::json seen = cluster_->ask(scheduler, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      if (node.at("name") == name) {
        return node.at("node");
      }
    }
    return {};
  }

  temporary_folder folder_;
  std::string path_ = (folder_.path() / "synthetic.gguf").string();
  std::unique_ptr<test_cluster> cluster_;
};

TEST_F(withheld, statements_change_the_path_in_the_midst_of_a_request) {
  constexpr std::uint32_t answer = 6'000; // some seconds
  const std::size_t spare = cluster_->index_of("spare");
  const std::string silent_key = key_of("silent");
  const std::string spare_key = key_of("spare");
  cluster_->kill(spare);
  ASSERT_TRUE(cluster_->wait_until([&] {
    for (const apps::json& model : cluster_->ask(scheduler, "models").at("models")) {
      if (model.at("holders").dump().find("spare") != std::string::npos) {
        return false;
      }
    }
    return true;
  }));
  asked_request asked = ask(answer);
  ASSERT_TRUE(asked.wait_for_tokens(8)) << cluster_->last_words();
  cluster_->start(spare);
  const apps::json data = asked.answer();
  ASSERT_EQ(asked.failure(), "") << cluster_->last_words();
  EXPECT_EQ(data.at("tokens").size(), answer);
  ASSERT_TRUE(data.at("receipt").contains("size")) << data.at("receipt") << "\n"
                                                   << cluster_->last_words();
  EXPECT_EQ(data.at("path").dump().find(silent_key.substr(0, 8)), std::string::npos)
      << data.at("path");
  EXPECT_NE(data.at("path").dump().find(spare_key.substr(0, 8)), std::string::npos)
      << data.at("path");
}

TEST_F(withheld, statements_cost_one_receipt_and_not_those_that_follow) {
  const auto has_receipt = [&] {
    asked_request asked = ask(20);
    const apps::json data = asked.answer();
    EXPECT_EQ(asked.failure(), "") << cluster_->last_words();
    return data.at("receipt").contains("bytes");
  };
  constexpr int most = 12; // until its scheduler tries the silent one
  int asked = 0;
  while (asked < most && has_receipt()) {
    ++asked;
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(has_receipt()) << cluster_->last_words();
  }
}

} // namespace
} // namespace ovir::test
