// The npm packages `@anthropic-ai/sdk`, `ollama` and `openai`, as they are, against a cluster of
// three processes, one of which is killed while they stream.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using plain_json = nlohmann::json;

constexpr int door_calls_min = 80;

/// The folder of modules, fetched once per build folder as tests/peers/clients locks them; empty
/// when npm cannot be had.
fs::path door_modules() {
  const fs::path folder = fs::path{OVIR_BINARY_DIR} / "door_clients";
  const fs::path done = folder / "done";
  const std::string lock = read_file(source_file("tests/peers/clients/package-lock.json"));
  if (!fs::exists(done) || read_file(done) != lock) {
    fs::create_directories(folder);
    write_file(folder / "package.json", read_file(source_file("tests/peers/clients/package.json")));
    write_file(folder / "package-lock.json", lock);
    const child_result fetched =
        run_child({"/usr/bin/env", "npm", "ci", "--prefix", folder.string(), "--ignore-scripts",
                   "--no-audit", "--no-fund"});
    if (fetched.exit_code != 0) {
      return {};
    }
    write_file(done, lock);
  }
  return folder / "node_modules";
}

TEST(door_clients, unmodified_clients_of_three_apis_work_while_a_worker_is_killed) {
  const fs::path modules = door_modules();
  if (modules.empty()) {
    GTEST_SKIP() << "needs node, npm and its registry for the packages of tests/peers/clients";
  }
  temporary_folder folder;
  const std::string file = (folder.path() / "keys.json").string();
  const std::string key = ovir_json({"key", "create", "-f", file, "client"})["key"];
  const std::uint16_t port = free_port();
  const std::uint16_t ollama = free_port();
  test_cluster cluster{{{{"front", {"scheduler"}, {{"embedded"}}},
                         {"left", {"worker"}, {{"embedded"}}},
                         {"right", {"worker"}, {{"embedded"}}}}}};
  write_file(cluster.config(0),
             read_file(cluster.config(0)) +
                 fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\nollama = \"127.0.0.1:{}\"\n"
                             "keys = \"{}\"\n",
                             port, ollama, file));
  cluster.start();
  wait_until_ready(port);
  const fs::path table = folder.path() / "table.md";
  child_options options;
  options.deadline = std::chrono::seconds{240};
  child_process suite{{"/usr/bin/env", "node",
                       source_file("tests/integration/door_clients.mjs").string(), modules.string(),
                       fmt::format("http://127.0.0.1:{}", port),
                       fmt::format("http://127.0.0.1:{}", ollama), key, table.string()},
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
  EXPECT_GE(std::stoi(ended.out.substr(at + 7)), door_calls_min);
  EXPECT_EQ(read_file(table), read_file(source_file("docs/guide/clients-table.md")))
      << "docs/guide/clients-table.md is what this test writes; it has to be:\n"
      << read_file(table);
}

} // namespace
} // namespace ovir::test
