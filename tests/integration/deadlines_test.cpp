// Deadlines and paces in a cluster of processes.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

/// A model of eight layers in two halves, of which the second has two equal holders.
class deadlines : public testing::Test {
protected:
  void SetUp() override {
    const std::string model = (folder_.path() / "m.gguf").string();
    ASSERT_EQ(run_ovir({"model", "synth", model, "--layers", "8"}).exit_code, 0);
    cluster_.emplace(cluster_spec{{{"front", {"scheduler"}, {{model}}},
                                   {"left", {"worker"}, {{model, "0-3"}}},
                                   {"right", {"worker"}, {{model, "4-7"}}},
                                   {"other", {"worker"}, {{model, "4-7"}}}}});
    port_ = free_port();
    write_file(cluster_->config(0),
               read_file(cluster_->config(0)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port_));
    cluster_->start();
    wait_until_ready(port_);
  }
  http_answer ask(std::uint32_t tokens, std::optional<std::uint64_t> deadline_ms) {
    plain_json body{{"model", "m.gguf"},
                    {"prompt", {7, 8, 9}},
                    {"max_tokens", tokens},
                    {"temperature", 0},
                    {"speculate", false}};
    if (deadline_ms) {
      body["deadline_ms"] = *deadline_ms;
    }
    return http_ask(port_, "POST", "/v1/completions", body.dump());
  }

  temporary_folder folder_;
  std::optional<test_cluster> cluster_;
  std::uint16_t port_{0};
};

TEST_F(deadlines, that_no_path_can_meet_are_refused_with_the_prediction) {
  const http_answer refused = ask(200, 10);
  EXPECT_EQ(refused.status, 504) << refused.body;
  EXPECT_THAT(refused.body, testing::HasSubstr("the deadline cannot be met"));
  EXPECT_THAT(refused.body, testing::HasSubstr("at most 200 of the answer take"));
  EXPECT_EQ(ask(200, 600'000).status, 200);
}

TEST_F(deadlines, lead_past_a_holder_that_became_slow_and_back_when_it_is_no_longer) {
  // Whom the second half of a request was given to.
  const auto holder = [this] {
    const http_answer answer = ask(20, 60'000); // every 16th step is timed
    EXPECT_EQ(answer.status, 200) << answer.body;
    const plain_json paths =
        cluster_->ask(0, "job " + answer.fields.at("x-ovir-job")).at("job").at("paths");
    return paths.at(0).at("path").at(1).at("name").get<std::string>();
  };
  const auto punctuality = [this](const std::string& name) {
    const plain_json said = cluster_->ask(0, "reputation");
    for (const plain_json& node : said.at("nodes")) {
      if (node.at("name") == name) {
        return node.at("punctuality").get<double>();
      }
    }
    return 0.5; // what it begins at
  };
  std::string delayed; // one of which a step was timed that kept its deadline
  ASSERT_TRUE(cluster_->wait_until(
      [&] {
        delayed = holder();
        return punctuality(delayed) > 0.5;
      },
      std::chrono::minutes{1}))
      << cluster_->ask(0, "reputation");
  const std::size_t where = delayed == "right" ? 2 : 3;
  const std::string other = delayed == "right" ? "other" : "right";
  const double before = punctuality(delayed);
  (void)cluster_->ask(where, "chaos delay " + delayed + " --ms 200");
  bool given = false; // a round trip may show the delay before any request meets it
  for (int i = 0; i < 5; ++i) {
    given = holder() == delayed || given;
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(holder(), other) << i;
  }
  const double fallen = punctuality(delayed);
  if (given) {
    EXPECT_LT(fallen, before) << cluster_->ask(0, "reputation");
  } else {
    EXPECT_EQ(fallen, before) << "nothing was late that was not given";
  }
  (void)cluster_->ask(where, "chaos delay " + delayed + " --ms 0");
  EXPECT_TRUE(cluster_->wait_until([&] { return holder() == delayed; }, std::chrono::minutes{2}));
  EXPECT_TRUE(cluster_->wait_until(
      [&] {
        (void)holder();
        return punctuality(delayed) > fallen;
      },
      std::chrono::minutes{2}));
}

TEST_F(deadlines, and_paces_are_shown_of_every_stage) {
  const http_answer answer = ask(100, 600'000);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::string job = answer.fields.at("x-ovir-job");
  const plain_json pace = cluster_->ask(0, "job " + job).at("job").at("pace");
  EXPECT_GT(pace.at("token_ms"), 0);
  EXPECT_GT(pace.at("left_ms"), 0);
  EXPECT_GE(pace.at("needed_ms"), 0);
  ASSERT_EQ(pace.at("stages").size(), 2U);
  for (const plain_json& stage : pace["stages"]) {
    EXPECT_GT(stage.at("ms"), 0);
    EXPECT_LT(stage.at("ms"), 60'000);
  }
  EXPECT_EQ(cluster_->ask(0, "why " + job).at("job").at("pace"), pace);
}

} // namespace
} // namespace ovir::test
