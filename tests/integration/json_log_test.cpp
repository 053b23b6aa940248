// Logs as JSON, of processes: every line an object with what collectors of logs look for, never a
// prompt, and opened anew on SIGHUP.
#include "apps/key_file.hpp"
#include "messages/request/request_name.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
namespace fs = std::filesystem;

std::vector<plain_json> lines_of(const fs::path& log) {
  std::vector<plain_json> lines;
  std::istringstream in{read_file(log)};
  for (std::string line; std::getline(in, line);) {
    lines.push_back(plain_json::parse(line));
  }
  return lines;
}

TEST(json_log, has_an_object_a_line_never_a_prompt_and_is_opened_anew) {
  cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{"embedded"}}},
                {"left", {"worker"}, {{"embedded", "0-1"}}},
                {"right", {"worker"}, {{"embedded", "2-3"}}}};
  spec.log_level = "debug";
  test_cluster cluster{spec};
  const auto log = [&](std::size_t i) {
    return cluster.folder() / (cluster.node(i).name + ".log");
  };
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    std::string text = read_file(cluster.config(i));
    const std::string table = "[log]\n";
    ASSERT_NE(text.find(table), std::string::npos);
    write_file(cluster.config(i),
               text.replace(text.find(table), table.size(), table + "format = \"json\"\n"));
  }
  cluster.start();
  cluster_shell shell = cluster.shell({0});
  (void)shell.data("run -n 20 --request 00000000000000ab Zanzibar was a fox");
  std::set<std::string> parts;
  std::set<std::string> requests;
  const std::regex time{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"};
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    for (const plain_json& line : lines_of(log(i))) {
      EXPECT_TRUE(std::regex_match(line.at("time").get<std::string>(), time)) << line;
      EXPECT_TRUE(
          (std::set<std::string>{"debug", "info", "warn", "error"}.contains(line.at("level"))))
          << line;
      EXPECT_EQ(line.at("node"), cluster.node(i).name);
      EXPECT_FALSE(line.at("message").get<std::string>().empty());
      EXPECT_EQ(line.dump().find("Zanzibar"), std::string::npos) << line;
      parts.insert(line.value("part", ""));
      requests.insert(line.value("request", ""));
    }
  }
  EXPECT_THAT(parts, testing::IsSupersetOf({"membership", "links"})) << "who wrote it";
  const node_id shell_key =
      apps::load_key(*storage::make_env_posix(), cluster.admin_key()).value().id();
  const request_id named = name_in_cluster(owner_of_shell(shell_key.key), request_id{0xab});
  EXPECT_TRUE(requests.contains(fmt::format("{:016x}", named.value)))
      << testing::PrintToString(requests);
  fs::rename(log(1), log(1).string() + ".moved");
  cluster.send_signal(1, SIGHUP);
  EXPECT_TRUE(cluster.wait_until([&] { return fs::exists(log(1)); }));
  cluster.kill(2); // the others have something to say
  EXPECT_TRUE(cluster.wait_until([&] { return !lines_of(log(1)).empty(); }));
}

} // namespace
} // namespace ovir::test
