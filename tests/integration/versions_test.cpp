// Two versions that must not mix, as processes: each says which of the two is older, neither lets
// the other in, both go on with what they have; and once both are one version they are a cluster.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <utility>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Empty before there is one.
std::string log_of(const test_cluster& cluster, const std::string& name) {
  const fs::path file = cluster.folder() / (name + ".log");
  return fs::exists(file) ? read_file(file) : std::string{};
}

/// Nodes that this one knows as alive.
std::size_t alive(const test_cluster& cluster, std::size_t i) {
  std::size_t count = 0;
  const auto answer = cluster.ask(i, "nodes");
  for (const auto& node : answer.at("nodes")) {
    count += node["health"] == "alive" ? 1 : 0;
  }
  return count;
}

TEST(versions, that_must_not_mix_refuse_each_other_and_name_the_older) {
  const temporary_folder programs;
  const fs::path tomorrow = programs.path() / "ovir";
  fs::create_symlink(OVIR_NEWER_PROGRAM, tomorrow);
  cluster_spec spec;
  spec.nodes = {{"today", {"scheduler", "worker"}, {{"embedded"}}},
                {"tomorrow", {"scheduler", "worker"}, {{"embedded"}}, tomorrow.string()}};
  spec.log_level = "debug";
  test_cluster cluster{std::move(spec)};
  cluster.start(0);
  cluster.start(1);
  for (const char* const name : {"today", "tomorrow"}) {
    EXPECT_TRUE(cluster.wait_until([&] {
      return log_of(cluster, name).find("is older and must be upgraded") != std::string::npos;
    })) << cluster.last_words();
  }
  const auto nodes = cluster.ask(0, "nodes")["nodes"];
  ASSERT_EQ(nodes.size(), 1U) << nodes;
  const std::string older = nodes[0]["node"].get<std::string>().substr(0, 8);
  for (const char* const name : {"today", "tomorrow"}) {
    const std::string log = log_of(cluster, name);
    EXPECT_THAT(log, HasSubstr("version 2"));
    EXPECT_THAT(log, HasSubstr(fmt::format("node {} is older and must be upgraded", older)));
  }

  // Nobody is harmed: the older one serves, its shell is told why the newer one does not talk to
  // it.
  EXPECT_EQ(alive(cluster, 0), 1U);
  cluster_shell shell = cluster.shell({0});
  EXPECT_EQ(failure_text(shell.call("run", {{"prompt", "Once"}, {"max_tokens", 4}})), "");
  const child_result refused =
      run_ovir({"shell", "--key", (cluster.folder() / "admin.key").string(), "--connect",
                cluster.admin_address(1), "-e", "nodes"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("is older and must be upgraded"));

  // One version again.
  EXPECT_EQ(cluster.terminate(1).exit_code, 0) << cluster.last_words();
  fs::remove(tomorrow);
  fs::create_symlink(ovir_program(), tomorrow);
  cluster.start(1);
  cluster.wait_until_whole();
  EXPECT_EQ(alive(cluster, 0), 2U);
}

} // namespace
} // namespace ovir::test
