// The npm package `openai`, as it is, against a cluster of three processes, one of which is killed
// while it streams.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using plain_json = nlohmann::json;

constexpr auto package = "openai@6.30.1";
constexpr auto integrity = "sha512-5bkK9GoQMd8j4a0TeY95AIC7FtGP38HlfO+YvRq4TkEndHLI1iR8ct9wajmsAMw+"
                           "G/QcPOZnqzhhsUT2GKUWkA==";
constexpr int calls_min = 100;

/// The folder of the package, fetched once per build folder; empty when npm cannot be had.
fs::path client_package() {
  const fs::path folder = fs::path{OVIR_BINARY_DIR} / "openai_client";
  const fs::path lock = folder / "node_modules" / ".package-lock.json";
  const fs::path found = folder / "node_modules" / "openai";
  fs::create_directories(folder);
  if (!fs::exists(found / "index.mjs") || !fs::exists(lock)) {
    const child_result fetched = run_child(
        {"/usr/bin/env", "npm", "install", "--prefix", folder.string(), "--ignore-scripts",
         "--no-audit", "--no-fund", "--no-save", "--no-package-lock", package});
    if (fetched.exit_code != 0) {
      return {};
    }
  }
  EXPECT_THAT(read_file(lock), testing::HasSubstr(integrity)) << "not the known " << package;
  return found;
}

TEST(openai_client, the_unmodified_client_works_while_a_worker_is_killed) {
  const fs::path client = client_package();
  if (client.empty()) {
    GTEST_SKIP() << "needs node, npm and its registry for " << package;
  }
  temporary_folder keys;
  const std::string file = (keys.path() / "keys.json").string();
  const std::string key = ovir_json({"key", "create", "-f", file, "client"})["key"];
  const std::uint16_t port = free_port();
  test_cluster cluster{{{{"front", {"scheduler"}, {{"embedded"}}},
                         {"left", {"worker"}, {{"embedded"}}},
                         {"right", {"worker"}, {{"embedded"}}}}}};
  write_file(
      cluster.config(0),
      read_file(cluster.config(0)) +
          fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\nkeys = \"{}\"\n", port, file));
  cluster.start();
  wait_until_ready(port);
  child_options options;
  options.deadline = std::chrono::seconds{240};
  child_process suite{{"/usr/bin/env", "node",
                       source_file("tests/integration/openai_client.mjs").string(), client.string(),
                       fmt::format("http://127.0.0.1:{}/v1", port), key},
                      options};
  std::string said;
  while (suite.running() && said.find("\nkill\n") == std::string::npos) {
    said = suite.wait_for_output(said.size() + 1);
  }
  if (suite.running()) {
    const plain_json jobs = cluster.ask(0, "jobs")["jobs"];
    ASSERT_FALSE(jobs.empty() || jobs[0]["path"].empty()) << "it was over before its worker died";
    cluster.kill(cluster.index_of(jobs[0]["path"][0]["name"]));
  }
  const child_result ended = suite.wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.out << ended.err << cluster.last_words();
  const std::size_t at = ended.out.find("\ncalls ");
  ASSERT_NE(at, std::string::npos) << ended.out;
  EXPECT_GE(std::stoi(ended.out.substr(at + 7)), calls_min);
}

} // namespace
} // namespace ovir::test
