// A cluster as `ovir init --nodes 20` makes it, of which four nodes are left.
#include "tests/chaos/chaos_run.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <set>

namespace ovir::chaos {
namespace {

using test::cluster_shell;
using clock = std::chrono::steady_clock;

constexpr std::size_t nodes = 20;
constexpr std::uint32_t pieces = 8; ///< layers of the model, at least
constexpr std::size_t left = 4;

/// The first of so many free ports in a row.
std::uint16_t free_ports(std::uint16_t count) {
  std::uint16_t first = test::free_port();
  std::uint16_t last = first;
  while (last - first + 1 < count) {
    const std::uint16_t next = test::free_port();
    first = next == last + 1 ? first : next;
    last = next;
  }
  return first;
}

/// Those that hold all layers together and come last in the order of keys: each of `init`'s nodes
/// holds a piece of the model and the next.
std::set<std::size_t> survivors(const nlohmann::json& made) {
  std::vector<std::size_t> by_key(made.size());
  for (std::size_t i = 0; i < by_key.size(); ++i) {
    by_key[i] = i;
  }
  std::sort(by_key.begin(), by_key.end(), [&](std::size_t a, std::size_t b) {
    return made[a]["node"].get<std::string>() > made[b]["node"].get<std::string>();
  });
  std::set<std::size_t> kept;
  std::set<std::size_t> covered;
  for (const std::size_t i : by_key) {
    const std::size_t piece = i % pieces;
    if (piece % 2 == by_key.front() % pieces % 2 && covered.insert(piece).second) {
      kept.insert(i);
    }
  }
  return kept;
}

class hole_05 : public ::testing::Test {
protected:
  void SetUp() override {
    model_ = make_drill_model((folder_.path() / "drill.gguf").string());
    expected_ = make_workload(model_, 1, 24, 5).front();
    const std::uint16_t first = free_ports(2 * nodes);
    made_ = test::ovir_json({"init", "--nodes", std::to_string(nodes), "--folder",
                             folder_.path().string(), "--admin-key",
                             (folder_.path() / "operator.key").string(), "-m", model_, "--http", "",
                             "--listen", fmt::format("127.0.0.1:{}", first), "--shells",
                             fmt::format("127.0.0.1:{}", first + nodes)})["nodes"];
    ASSERT_EQ(made_.size(), nodes);
    for (const auto& node : made_) {
      test::child_options options;
      options.dies_with_thread = true;
      options.deadline = std::chrono::hours{1};
      processes_.push_back(std::make_unique<test::child_process>(
          std::vector<std::string>{test::ovir_program(), "node", "-c", node["config"]}, options));
    }
  }
  /// How many members this node knows as alive.
  [[nodiscard]] std::size_t alive_at(std::size_t node) {
    const apps::shell_outcome told = shell_at(node)->call("nodes");
    const auto* const data = std::get_if<apps::json>(&told);
    return data == nullptr ? 0
                           : static_cast<std::size_t>(std::count_if(
                                 data->at("nodes").begin(), data->at("nodes").end(),
                                 [](const apps::json& n) { return n.at("health") == "alive"; }));
  }
  [[nodiscard]] std::unique_ptr<cluster_shell> shell_at(std::size_t node) const {
    return std::make_unique<cluster_shell>(
        cluster_shell::options{.key_file = made_[node]["admin_key"],
                               .addresses = {made_[node]["shells"].get<std::string>()},
                               .deadline = std::chrono::seconds{30}});
  }
  void wait_for(const std::function<bool()>& holds) {
    const auto until = clock::now() + std::chrono::minutes{3};
    std::mutex waiting;
    std::condition_variable nobody_tells;
    while (!holds()) {
      ASSERT_LT(clock::now(), until);
      std::unique_lock lock{waiting};
      nobody_tells.wait_for(lock, std::chrono::milliseconds{50});
    }
  }

  test::temporary_folder folder_;
  std::string model_;
  expected_answer expected_;
  nlohmann::json made_;
  std::vector<std::unique_ptr<test::child_process>> processes_;
};

TEST_F(hole_05, sixteen_of_twenty_nodes_are_killed_at_once_and_the_rest_answers) {
  const std::set<std::size_t> kept = survivors(made_);
  ASSERT_EQ(kept.size(), left);
  for (const std::size_t node : kept) {
    ASSERT_NO_FATAL_FAILURE(wait_for([&] { return alive_at(node) == nodes; }));
  }
  auto shell = shell_at(*kept.begin());
  for (std::size_t i = 0; i < nodes; ++i) {
    if (!kept.contains(i)) {
      processes_[i]->send_signal(SIGKILL);
    }
  }
  const auto begin = clock::now();
  const apps::shell_outcome told = shell->call("run", expected_.arguments);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begin);
  RecordProperty("answered_after_ms", static_cast<int>(took.count()));
  fmt::print("answered {} ms after sixteen of twenty were killed\n", took.count());
  const auto* const data = std::get_if<apps::json>(&told);
  ASSERT_NE(data, nullptr) << test::failure_text(told);
  EXPECT_EQ(difference(expected_, *data), "");
}

} // namespace
} // namespace ovir::chaos
