// Clusters as `ovir init --nodes N` makes them, with the shipped defaults.
#include "messages/limits/crowd.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

constexpr std::uint32_t dealt_layers = 8;

class many_nodes : public ::testing::Test {
protected:
  void start(std::uint32_t count) {
    const std::string model = folder_.path() / "m.gguf";
    ASSERT_EQ(
        run_ovir({"model", "synth", model, "--layers", std::to_string(dealt_layers)}).exit_code, 0);
    const std::uint32_t port = free_ports(3 * count);
    http_ = static_cast<std::uint16_t>(port + 2 * count);
    child_options options;
    options.environment["OVIR_OPERATOR"] = folder_.path() / "operator";
    const plain_json made = ovir_json(
        {"init", "--nodes", std::to_string(count), "-m", model, "--folder",
         folder_.path() / "nodes", "--listen", fmt::format("127.0.0.1:{}", port), "--shells",
         fmt::format("127.0.0.1:{}", port + count), "--http", fmt::format("127.0.0.1:{}", http_)},
        options)["nodes"];
    options.deadline = std::chrono::seconds{600};
    options.dies_with_thread = true;
    for (const plain_json& node : made) {
      nodes_.push_back(std::make_unique<child_process>(
          std::vector<std::string>{ovir_program(), "node", "-c", node["config"]}, options));
    }
    shells_ = made[0]["shells"];
    for (std::uint32_t i = 0; i < count; ++i) {
      wait_until_ready(http(i));
    }
  }
  [[nodiscard]] std::uint16_t http(std::size_t node) const {
    return static_cast<std::uint16_t>(http_ + node);
  }
  /// Waits until this node sees all nodes as alive.
  void wait_for_all(std::size_t node) {
    const std::string shells = shells_of(node);
    child_options options;
    options.environment["OVIR_OPERATOR"] = folder_.path() / "operator";
    for (std::size_t alive = 0; alive < nodes_.size();) {
      const child_result said =
          run_ovir({"shell", "--connect", shells, "-e", "nodes", "--json"}, options);
      const plain_json seen = plain_json::parse(said.out, nullptr, false);
      alive = 0;
      for (const plain_json& one :
           said.exit_code == 0 ? seen.at("nodes") : plain_json::array()) { // else it is busy
        alive += one["health"] == "alive" ? 1 : 0;
      }
    }
  }
  [[nodiscard]] std::string shells_of(std::size_t node) const {
    const std::size_t colon = shells_.rfind(':');
    return shells_.substr(0, colon + 1) +
           std::to_string(std::stoul(shells_.substr(colon + 1)) + node);
  }
  [[nodiscard]] http_answer ask(std::size_t node, std::uint64_t deadline_ms) const {
    const plain_json body{{"model", "m.gguf"}, {"prompt", {7, 8, 9}}, {"max_tokens", 16},
                          {"temperature", 0},  {"speculate", false},  {"deadline_ms", deadline_ms}};
    return http_ask(http(node), "POST", "/v1/completions", body.dump());
  }
  [[nodiscard]] std::string text(const http_answer& answer) const {
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? plain_json::parse(answer.body)["choices"][0]["text"].dump()
                                : std::string{};
  }

  temporary_folder folder_;
  std::vector<std::unique_ptr<child_process>> nodes_;
  std::string shells_;
  std::uint16_t http_{0};
};

// `ovir init` deals eight pieces: node n holds piece n mod 8 and the next one.
TEST_F(many_nodes, nineteen_of_twenty_four_die_and_the_next_request_is_answered) {
  start(24);
  const std::set<std::size_t> kept{0, 2, 4, 9, 14};
  for (const std::size_t node : kept) {
    wait_for_all(node);
  }
  const std::string right = text(ask(0, 60'000));
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    if (!kept.contains(node)) {
      nodes_[node]->send_signal(SIGKILL);
    }
  }
  EXPECT_EQ(text(ask(4, 60'000)), right); // within 5 s on a machine that is not busy
  EXPECT_EQ(text(ask(14, 60'000)), right);
}

// OVIR_NODES: how many, such as 64.
TEST_F(many_nodes, more_than_are_all_linked_serve) {
  const char* const given = std::getenv("OVIR_NODES");
  const auto count = static_cast<std::uint32_t>(
      given == nullptr ? limits::mesh_members_max + 8 : std::strtoul(given, nullptr, 10));
  start(count);
  wait_for_all(count - 1);
  const std::string right = text(ask(0, 60'000));
  for (const std::uint32_t node : {count / 4, count / 2, count - 1}) {
    EXPECT_EQ(text(ask(node, 60'000)), right);
  }
}

} // namespace
} // namespace ovir::test
