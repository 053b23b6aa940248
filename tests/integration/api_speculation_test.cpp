// Clients over HTTP say whether tokens are guessed, and get the same answer.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

TEST(api_speculation, is_as_the_client_says_and_changes_no_answer) {
  temporary_folder folder;
  const std::string model = (folder.path() / "m.gguf").string();
  ASSERT_EQ(run_ovir({"model", "synth", model, "--layers", "8"}).exit_code, 0);
  test_cluster cluster{cluster_spec{{{"front", {"scheduler"}, {{model}}},
                                     {"left", {"worker"}, {{model, "0-3"}}},
                                     {"right", {"worker"}, {{model, "4-7"}}}}}};
  const std::uint16_t port = free_port();
  write_file(cluster.config(0), read_file(cluster.config(0)) +
                                    fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port));
  cluster.start();
  wait_until_ready(port);
  // Text that must repeat itself, so that there is something to guess.
  plain_json body{
      {"model", "m.gguf"}, {"prompt", {7, 8, 9}}, {"max_tokens", 200}, {"temperature", 0}};
  body["response_format"] =
      plain_json::parse(R"({"type": "json_schema", "json_schema": {"name": "long",
      "schema": {"type": "array", "items": {"const": "again"}, "minItems": 16}}})");
  std::string transcript;
  for (const bool guess : {true, false}) {
    body["speculate"] = guess;
    const http_answer answer = http_ask(port, "POST", "/v1/completions", body.dump());
    ASSERT_EQ(answer.status, 200) << answer.body;
    const plain_json job = cluster.ask(0, "job " + answer.fields.at("x-ovir-job"))["job"];
    EXPECT_EQ(job["speculation"]["drafted"] > 0, guess) << job;
    const std::string told = answer.fields.at("x-ovir-transcript");
    EXPECT_TRUE(transcript.empty() || transcript == told);
    transcript = told;
  }
}

} // namespace
} // namespace ovir::test
