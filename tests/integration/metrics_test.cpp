// What a gateway of a cluster of processes tells Prometheus of its clients: as Prometheus' own
// checker wants it, as docs/metrics.md says it, and each of it moved by what clients do.
// node_metrics_test.cpp is about the rest.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_upload.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

constexpr std::string_view of_gateways = "ovir_gateway_";

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

  [[nodiscard]] metrics_page page() const { return read_metrics(port_); }
  [[nodiscard]] static std::string body(bool stream) {
    return plain_json{
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
  const metrics_page before = page();
  std::set<std::string> wanted;
  for (const auto& [name, what] : documented_metrics()) {
    if (name.starts_with(of_gateways)) {
      wanted.insert(name);
    }
  }
  ASSERT_FALSE(wanted.empty());
  std::set<std::string> moved;
  const auto look = [&] {
    const metrics_page now = page();
    EXPECT_EQ(now.types(), before.types()) << "there is another one now";
    moved.merge(now.moved_since(before));
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
  while (page().at("ovir_gateway_requests_under_way") > 0) {
  }
  look();
  const auto line = [](const std::string& name, const plain_json& asked) {
    return plain_json{
               {"custom_id", name}, {"method", "POST"}, {"url", "/v1/completions"}, {"body", asked}}
               .dump() +
           "\n";
  };
  plain_json endless = plain_json::parse(body(true));
  endless["stream"] = false;
  const std::string file = plain_json::parse(
      http_upload(port_, line("a", endless) + line("b", {{"model", "none"}})).body)["id"];
  const plain_json made = plain_json::parse(http_ask(port_, "POST", "/v1/batches",
                                                     plain_json{{"input_file_id", file},
                                                                {"endpoint", "/v1/completions"},
                                                                {"completion_window", "24h"}}
                                                         .dump())
                                                .body);
  const std::string batch = "/v1/batches/" + made.at("id").get<std::string>();
  while (plain_json::parse(http_ask(port_, "GET", batch).body)["request_counts"]["failed"] == 0) {
  }
  look(); // a batch and a file more, and a line of it that failed
  EXPECT_EQ(http_ask(port_, "POST", batch + "/cancel").status, 200);
  for (const std::string& name : wanted) {
    EXPECT_TRUE(moved.contains(name)) << name << " did not move";
  }
}

TEST_F(metrics_of, a_gateway_please_promtool) {
  const auto wrong = ask_promtool("# TYPE a gauge\na_seconds_total 1\n");
  if (wrong.empty()) {
    GTEST_SKIP() << "there is no promtool; scripts/setup test unpacks it";
  }
  EXPECT_NE(wrong.front().exit_code, 0) << "it sees what is wrong";
  for (const bool asked : {false, true}) {
    if (asked) {
      EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", body(false)).status, 200);
      EXPECT_EQ(http_ask(port_, "GET", "/nowhere").status, 404);
    }
    const std::string text = page().text();
    const promtool_answer checked = ask_promtool(text).front();
    EXPECT_EQ(checked.exit_code, 0) << checked.said << text;
    EXPECT_EQ(checked.said, "") << "it only warns";
  }
}

} // namespace
} // namespace ovir::test
