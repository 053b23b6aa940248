// A cluster as `ovir init --nodes 5` makes it, with the shipped defaults, and one node in it that
// lies in one way: plain requests over HTTP until it is convicted, on every node, and no other.
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

constexpr std::uint32_t nodes = 5;
// Nodes with layers in the middle of the model, and with its last ones.
constexpr std::size_t inner = 2;
constexpr std::size_t outer = 3;
/// At the default rate a liar escapes 66 lies with a chance below 0.001; of a node that is not
/// known yet, more is looked at.
constexpr int requests_max = 66;
/// Fewer than fill an epoch.
constexpr int first_requests = 20;
constexpr std::size_t last_words = 3; ///< lines
constexpr std::size_t last_words_length = 160;

class default_liars : public ::testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    const std::string model = folder_.path() / "m.gguf";
    ASSERT_EQ(run_ovir({"model", "synth", model, "--layers", "8"}).exit_code, 0);
    options_.environment["OVIR_OPERATOR"] = folder_.path() / "operator";
    std::vector<std::string> order{"init", "--nodes",  std::to_string(nodes),   "-m",
                                   model,  "--folder", folder_.path() / "nodes"};
    for (const char* const place : {"--listen", "--shells", "--http"}) {
      order.insert(order.end(), {place, fmt::format("127.0.0.1:{}", free_ports(nodes))});
    }
    made_ = ovir_json(order, options_)["nodes"];
    for (std::size_t i = 0; i < nodes; ++i) {
      child_options how = options_;
      how.deadline = std::chrono::seconds{900};
      how.dies_with_thread = true;
      if (i == liar()) {
        how.environment["OVIR_LIE"] = GetParam();
        how.environment["OVIR_LIE_SEED"] = "3";
        how.environment["OVIR_LIE_PPM"] = "1000000";
      }
      started_.push_back(std::make_unique<child_process>(
          std::vector<std::string>{i == liar() ? OVIR_LIAR_PROGRAM : ovir_program(), "node", "-c",
                                   made_[i]["config"]},
          how));
    }
    for (std::size_t i = 0; i < nodes; ++i) {
      wait_until_ready(port_of(i));
    }
  }

  /// Of some ways only a last stage can make use. "claimed" lies between two layers of a stage: the
  /// last stage always has two here, an inner one may be given a single layer and never lies then.
  static std::size_t liar() {
    const std::string way = GetParam();
    return way == "logits" || way == "choice" || way == "claimed" ? outer : inner;
  }
  /// Who holds layers that only the liar has besides: while it is frozen every path leads over the
  /// liar, whatever is fastest.
  static std::size_t other_holder() { return liar() == inner ? 1 : 4; }
  [[nodiscard]] std::uint16_t port_of(std::size_t node) const {
    const std::string address = made_[node]["http"];
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  }
  /// Of a node that is stopped, or just now convicted, nothing.
  [[nodiscard]] plain_json convictions(std::size_t node) const {
    const child_result said =
        run_ovir({"shell", "--connect", made_[node]["shells"], "-e", "audits", "--json"}, options_);
    return said.exit_code == 0 ? plain_json::parse(said.out).at("convictions")
                               : plain_json::array();
  }
  /// Whether all hold the liar for convicted, `but` one that is frozen, which a verifier may wait a
  /// minute for (limits::second_opinion_wait).
  [[nodiscard]] bool all_know(std::size_t but = nodes) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{150};
    for (std::size_t i = 0; i < nodes;) {
      if (i == liar() || i == but || !convictions(i).empty()) {
        ++i;
      } else if (std::chrono::steady_clock::now() > until) {
        return false;
      }
    }
    return true;
  }
  /// What each node but the frozen one holds, and the last of what it warned of.
  [[nodiscard]] std::string who_knows() const {
    std::string all;
    for (std::size_t i = 0; i < nodes; ++i) {
      all += fmt::format("\nnode {}{}", i, i == liar() ? ", the liar" : "");
      if (i != other_holder()) {
        all += fmt::format(": {}", convictions(i).dump());
      }
      const std::string state = made_[i]["state"];
      std::ifstream log{state + "/node.log"};
      std::deque<std::string> last;
      for (std::string line; std::getline(log, line);) {
        if (line.find(" info ") == std::string::npos) {
          last.push_back("\n  " + line.substr(0, last_words_length));
        }
        if (last.size() > last_words) {
          last.pop_front();
        }
      }
      all = std::accumulate(last.begin(), last.end(), all);
    }
    return all;
  }
  /// The status of the answer, whose tokens are not looked at.
  [[nodiscard]] int ask(std::size_t node, int number) const {
    plain_json body{{"model", "m.gguf"},
                    {"prompt", plain_json::array()},
                    {"max_tokens", 40},
                    {"speculate", false},
                    {"temperature", 0}};
    if (std::string{GetParam()} == "sampling") { // else the last stage chooses
      body["repeat_penalty"] = 1.1;
    }
    for (int i = 0; i < 40; ++i) {
      body["prompt"].push_back(3 + (number * 131 + i * 7) % 250);
    }
    return http_ask(port_of(node), "POST", "/v1/completions", body.dump()).status;
  }

  temporary_folder folder_;
  child_options options_;
  plain_json made_;
  std::vector<std::unique_ptr<child_process>> started_;
};

TEST_P(default_liars, are_convicted_on_every_node_and_no_other_is) {
  started_[other_holder()]->send_signal(SIGSTOP);
  int asked = 0;
  std::map<int, int> answers; // by status
  while (asked < requests_max && convictions(0).empty()) {
    ++answers[ask(liar(), asked++)];
  }
  const std::string behind = fmt::format("behind {} requests: {}", asked, answers);
  EXPECT_TRUE(all_know(other_holder())) << behind << who_knows();
  started_[other_holder()]->send_signal(SIGCONT);
  EXPECT_TRUE(all_know()) << behind << who_knows();
  for (std::size_t i = 0; i < nodes; ++i) {
    if (i == liar()) {
      continue;
    }
    const plain_json known = convictions(i);
    ASSERT_EQ(known.size(), 1U) << known;
    EXPECT_EQ(known[0]["node"], made_[liar()]["node"]) << known;
  }
  RecordProperty("requests", asked);
}

/// Before the first epoch of audits with verifiers begins, and while no other node serves all
/// layers of the liar's stage.
class liars_of_the_first_seconds : public default_liars {};

TEST_P(liars_of_the_first_seconds, are_convicted) {
  started_[other_holder()]->send_signal(SIGSTOP);
  std::map<int, int> answers;
  for (int i = 0; i < first_requests; ++i) {
    ++answers[ask(liar(), i)];
  }
  EXPECT_TRUE(all_know(other_holder())) << fmt::format("{}", answers) << who_knows();
  started_[other_holder()]->send_signal(SIGCONT);
}

INSTANTIATE_TEST_SUITE_P(ways, liars_of_the_first_seconds, ::testing::Values("claimed"),
                         [](const auto& of) { return std::string{of.param}; });

INSTANTIATE_TEST_SUITE_P(ways, default_liars,
                         ::testing::Values("wrong_output", "scaled", "smaller_model", "quantised",
                                           "skipped", "stale_kv", "swapped_positions", "logits",
                                           "claimed", "equivocation", "kv", "choice", "sampling"),
                         [](const auto& of) { return std::string{of.param}; });

} // namespace
} // namespace ovir::test
