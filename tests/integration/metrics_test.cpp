// What a gateway of a cluster of processes tells Prometheus: as Prometheus' own checker wants it,
// as docs/metrics.md says it, and each of it moved by what clients do.
#include "tests/support/cli.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/test_cluster.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <regex>
#include <set>
#include <sstream>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

/// Name and type of every metric.
using families = std::map<std::string, std::string>;

families families_of(const std::string& page) {
  families all;
  std::istringstream lines{page};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      const std::size_t end = line.find(' ', 7);
      EXPECT_TRUE(all.emplace(line.substr(7, end - 7), line.substr(end + 1)).second) << line;
    }
  }
  return all;
}

/// The rows of the table of docs/metrics.md.
families documented() {
  families all;
  std::istringstream lines{read_file(source_file("docs/metrics.md"))};
  const std::regex row{R"(\| `(\w+)(?:\{\w+\})?` \| (\w+) \| [^|]+ \|)"};
  for (std::string line; std::getline(lines, line);) {
    if (std::smatch parts; std::regex_match(line, parts, row)) {
      EXPECT_TRUE(all.emplace(parts[1], parts[2]).second) << line;
    } else {
      EXPECT_FALSE(line.starts_with("| `")) << "no row of a metric: " << line;
    }
  }
  return all;
}

/// The sum of the samples of a metric; of a histogram of everything it has.
double sum_of(const std::string& page, const std::string& name) {
  double sum = 0;
  std::istringstream lines{page};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find_first_of("{ ");
    const std::string sample = line.substr(0, end);
    if (sample == name || sample == name + "_count" || sample == name + "_sum") {
      sum += std::stod(line.substr(line.rfind(' ')));
    }
  }
  return sum;
}

std::string promtool() {
  const fs::path unpacked = fs::path{OVIR_SOURCE_DIR} / "build/tools/promtool";
  return fs::exists(unpacked) ? unpacked.string() : "promtool";
}

class metrics_of : public ::testing::Test {
protected:
  void SetUp() override {
    const std::string model = (folder_.path() / "m.gguf").string();
    ASSERT_EQ(run_ovir({"model", "synth", model, "--layers", "8", "--context", "8192"}).exit_code,
              0);
    cluster_.emplace(cluster_spec{{{"front", {"scheduler"}, {{model}}},
                                   {"left", {"worker"}, {{model, "0-3"}}},
                                   {"right", {"worker"}, {{model, "4-7"}}}}});
    port_ = free_port();
    write_file(cluster_->config(0),
               read_file(cluster_->config(0)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\nresume_ms = 100\n", port_));
    cluster_->start();
    wait_until_ready(port_);
  }

  [[nodiscard]] std::string page() const { return http_ask(port_, "GET", "/metrics").body; }
  [[nodiscard]] static std::string body(bool stream) {
    return json{
        {"model", "m.gguf"},
        {"prompt", {7, stream ? 10 : 8, 9}}, // of its own: an answer that is kept is told at once
        {"max_tokens", stream ? 8'000 : 400},
        {"stream", stream},
        {"temperature", 0}}
        .dump();
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::optional<test_cluster> cluster_;
};

TEST_F(metrics_of, a_gateway_are_those_of_the_documents_and_each_moves) {
  const std::string before = page();
  const families told = families_of(before);
  EXPECT_EQ(told, documented());
  std::set<std::string> moved;
  const auto look = [&] {
    const std::string now = page();
    EXPECT_EQ(families_of(now), told) << "there is another one now";
    for (const auto& [name, type] : told) {
      if (sum_of(now, name) > sum_of(before, name)) {
        moved.insert(name);
      }
    }
  };
  EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", body(false)).status, 200);
  http_socket leaves{port_};
  leaves.send(http_text("POST", "/v1/completions", body(true)));
  const std::string begun = leaves.read_until("\ndata: ");
  look(); // a connection and a request more than before
  leaves.close();
  const std::size_t at = begun.find("X-OVIR-Request: ") + 16;
  http_socket returns{port_}; // and leaves again, for good
  returns.send(http_text("GET", "/v1/requests/" + begun.substr(at, 16)));
  (void)returns.read_until("\ndata: ");
  look();
  returns.close();
  while (sum_of(page(), "ovir_gateway_requests_under_way") > 0) {
  }
  look();
  for (const auto& [name, type] : told) {
    EXPECT_TRUE(moved.contains(name)) << name << " did not move";
  }
}

TEST_F(metrics_of, a_gateway_please_promtool) {
  if (run_child({"/usr/bin/env", promtool(), "--version"}).exit_code != 0) {
    GTEST_SKIP() << "there is no promtool; scripts/setup test unpacks it";
  }
  const auto check = [&](const std::string& text) {
    child_options options;
    options.input = text;
    return run_child({"/usr/bin/env", promtool(), "check", "metrics"}, options);
  };
  EXPECT_NE(check("# TYPE a gauge\na_seconds_total 1\n").exit_code, 0) << "it sees what is wrong";
  for (const bool asked : {false, true}) {
    if (asked) {
      EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", body(false)).status, 200);
      EXPECT_EQ(http_ask(port_, "GET", "/nowhere").status, 404);
    }
    const std::string text = page();
    const child_result checked = check(text);
    EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err << text;
    EXPECT_EQ(checked.out + checked.err, "") << "it only warns";
  }
}

} // namespace
} // namespace ovir::test
