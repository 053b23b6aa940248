// A stage that stands still for a moment in the midst of a request: the stages around it show it in
// the receipt, though nobody compares clocks.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using plain_json = nlohmann::json;

class late_stages : public ::testing::Test {
protected:
  late_stages() {
    compute::synth_spec spec;
    spec.layers = 9;
    write_file(model_, synthetic_model(spec));
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = {{"scheduler", {"scheduler"}, {{model_}}},
                               {"one", {"worker"}, {{model_, "0-2"}}},
                               {"two", {"worker"}, {{model_, "3-5"}}},
                               {"three", {"worker"}, {{model_, "6-8"}}}}});
    cluster_->start();
  }
  /// Its receipt, as `ovir receipt` shows it; the stage of this name stands still meanwhile.
  [[nodiscard]] plain_json answered_while(const std::string& frozen) {
    apps::json request{
        {"max_tokens", 300}, {"deadline_ms", 30'000}, {"speculate", "off"}, {"receipt", true}};
    for (token_id i = 0; i < 36; ++i) {
      request["tokens"].push_back(3 + i * 7 % 290);
    }
    asked_request asked{*cluster_, {0}, std::move(request)};
    if (!frozen.empty()) {
      EXPECT_TRUE(asked.wait_for_tokens(50)) << cluster_->last_words();
      const std::size_t node = cluster_->index_of(frozen);
      cluster_->freeze(node);
      (void)cluster_->wait_until([] { return false; }, 300ms); // its part of a step is 33 ms
      cluster_->thaw(node);
    }
    const apps::json data = asked.answer();
    EXPECT_EQ(asked.failure(), "") << cluster_->last_words();
    const auto hex = data.at("receipt").at("bytes").get<std::string>();
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    const std::string file = folder_.path() / "receipt";
    write_file(file, bytes);
    const child_result shown = run_ovir({"receipt", "show", file, "--json"});
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    return plain_json::parse(shown.out);
  }
  [[nodiscard]] std::string key_of(const std::string& name) const {
    const apps::json seen = cluster_->ask(0, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      if (node.at("name") == name) {
        return node.at("node");
      }
    }
    return {};
  }

  temporary_folder folder_;
  std::string model_ = (folder_.path() / "synthetic.gguf").string();
  std::unique_ptr<test_cluster> cluster_;
};

TEST_F(late_stages, are_shown_by_the_stages_around_them) {
  const plain_json shown = answered_while("two");
  ASSERT_FALSE(shown.at("late").empty()) << shown.dump();
  bool found = false;
  for (const plain_json& one : shown.at("late")) {
    EXPECT_EQ(one.at("signer"), key_of("two"));
    EXPECT_EQ(one.at("shown_by"), plain_json::array({key_of("one"), key_of("three")}));
    found = found || one.at("over_us") > 100'000;
  }
  EXPECT_TRUE(found) << shown.at("late").dump();
}

// It is seen by its scheduler, which believes its own clock, but no two other stages are around it.
TEST_F(late_stages, that_come_last_are_not_called_late_by_the_receipt) {
  const plain_json shown = answered_while("three");
  for (const plain_json& one : shown.at("late")) { // of "two", on a machine that is at its limit
    EXPECT_EQ(one.at("signer"), key_of("two"));
  }
}

} // namespace
} // namespace ovir::test
