// Requests that are told only what two paths computed, over processes: a worker lies at every pass,
// and nobody who asked so hears of it, over HTTP or in a shell, by the request or by the API key.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <future>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using testing::HasSubstr;

constexpr std::size_t scheduler = 0;
constexpr std::size_t liar = 3; ///< one of those with the first half of the layers
constexpr std::size_t near = 5; ///< likewise, honest
constexpr std::size_t late = 7; ///< likewise
constexpr auto prompt = "Once upon a time there was a fox who told everybody what the others said";
constexpr std::uint32_t most = 8;

class revealed_after : public ::testing::Test {
protected:
  void start(const std::string& audit = "") {
    model_ = (folder_.path() / "m.gguf").string();
    ASSERT_EQ(run_ovir({"model", "synth", model_, "--layers", "8"}).exit_code, 0);
    right_ = ovir_json({"run", "-m", model_, "-p", prompt, "-n", std::to_string(most)});
    ASSERT_GE(right_["tokens"].size(), 4U) << "an answer worth lying about";
    strict_ = make_key("strict", {"--reveal", "after"});
    plain_ = make_key("plain", {});
    cluster_spec spec{{{"scheduler", {"scheduler"}, {{model_}}},
                       {"verifier-0", {"verifier"}, {{model_}}},
                       {"verifier-1", {"verifier"}, {{model_}}},
                       {"liar", {"worker"}, {{model_, "0-3"}}},
                       {"behind-0", {"worker"}, {{model_, "4-7"}}},
                       {"near", {"worker"}, {{model_, "0-3"}}},
                       {"behind-1", {"worker"}, {{model_, "4-7"}}},
                       {"late", {"worker"}, {{model_, "0-3"}}}}};
    spec.nodes[liar].program = OVIR_LIAR_PROGRAM;
    spec.nodes[liar].environment = {{"OVIR_LIE_SEED", "1"}, {"OVIR_LIE_PPM", "1000000"}};
    spec.tables = "[audit]\nevery_request = false\n" + audit;
    cluster_ = std::make_unique<test_cluster>(std::move(spec));
    port_ = free_port();
    write_file(cluster_->config(scheduler),
               read_file(cluster_->config(scheduler)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\nkeys = \"{}\"\n", port_,
                               key_file()));
    cluster_->start();
    wait_until_ready(port_);
  }

  [[nodiscard]] std::string key_file() const { return (folder_.path() / "keys.json").string(); }
  std::string make_key(const std::string& name, const std::vector<std::string>& more) const {
    std::vector<std::string> all{"key", "create", "-f", key_file(), name};
    all.insert(all.end(), more.begin(), more.end());
    return ovir_json(all)["key"];
  }
  /// `reveal`: of the body; empty: it has none.
  [[nodiscard]] http_answer ask(const std::string& key, const std::string& reveal,
                                bool stream = false) const {
    plain_json body{{"model", "m.gguf"}, {"prompt", prompt},   {"max_tokens", most},
                    {"temperature", 0},  {"speculate", false}, {"stream", stream}};
    if (!reveal.empty()) {
      body["audit"] = {{"reveal", reveal}};
    }
    return http_ask(port_, "POST", "/v1/completions", body.dump(),
                    {{"Authorization", "Bearer " + key}});
  }
  static std::string text_of(const http_answer& answer) {
    const plain_json body = plain_json::parse(answer.body);
    return body.contains("choices") ? body["choices"][0]["text"].get<std::string>() : answer.body;
  }
  static std::string streamed_text(const http_answer& answer) {
    std::string text;
    for (const http_event& e : http_events(answer.body)) {
      if (e.data != "[DONE]") {
        const plain_json data = plain_json::parse(e.data);
        text += data.contains("choices") ? data["choices"][0].value("text", "") : e.data;
      }
    }
    return text;
  }
  static void expect_refused(const http_answer& answer) {
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr("segment_missing"));
    EXPECT_THAT(answer.body, HasSubstr("two paths without a common node"));
    EXPECT_THAT(answer.body, HasSubstr("let more nodes hold its layers"));
  }
  [[nodiscard]] bool is_convicted() const {
    return !cluster_->ask(scheduler, "audits").at("convictions").empty();
  }
  [[nodiscard]] std::string right_text() const { return right_["text"].get<std::string>(); }

  temporary_folder folder_;
  std::string model_;
  apps::json right_;
  std::string strict_; ///< API keys
  std::string plain_;
  std::unique_ptr<test_cluster> cluster_;
  std::uint16_t port_{0};
};

TEST_F(revealed_after, nothing_that_one_path_alone_computed_is_told) {
  start();
  cluster_->kill(near);
  cluster_->kill(late);
  const http_answer lie = ask(plain_, "");
  ASSERT_EQ(lie.status, 200) << lie.body;
  EXPECT_NE(text_of(lie), right_text()) << "the only way leads over the liar";
  // One path is not told instead of two.
  expect_refused(ask(plain_, "after"));
  expect_refused(ask(strict_, ""));
  expect_refused(ask(strict_, "at_once"));
  asked_request in_shell{
      *cluster_, {scheduler}, {{"prompt", prompt}, {"max_tokens", most}, {"reveal", "after"}}};
  EXPECT_TRUE(in_shell.answer().is_null());
  EXPECT_THAT(in_shell.failure(), HasSubstr("two paths without a common node"));

  // With one honest node beside it, the liar computes one of the two runs.
  cluster_->start(near);
  cluster_->wait_until_whole();
  auto asked = std::async(std::launch::async, [this] { return ask(plain_, "after", true); });
  EXPECT_TRUE(cluster_->wait_until([this] { return is_convicted(); }, std::chrono::seconds{120}))
      << cluster_->last_words();
  cluster_->start(late);
  const http_answer streamed = asked.get();
  ASSERT_EQ(streamed.status, 200) << streamed.body << cluster_->last_words();
  EXPECT_EQ(streamed_text(streamed), right_text()) << streamed.body;
  const http_answer whole = ask(strict_, "at_once");
  ASSERT_EQ(whole.status, 200) << whole.body << cluster_->last_words();
  EXPECT_EQ(text_of(whole), right_text());
  EXPECT_EQ(whole.fields.at("x-ovir-transcript"), right_["transcript"]);
}

TEST_F(revealed_after, a_scheduler_that_was_killed_begins_anew_on_two_paths) {
  start();
  cluster_->kill(liar);
  cluster_->wait_until_whole();
  asked_request asked{*cluster_,
                      {scheduler},
                      {{"prompt", prompt},
                       {"max_tokens", 200},
                       {"reveal", "after"},
                       {"speculate", "off"},
                       {"temperature", 0.5},
                       {"seed", 3}}};
  ASSERT_TRUE(asked.wait_for_tokens(3)) << asked.failure();
  cluster_->kill(scheduler);
  std::size_t logs = 0;
  for (const auto& file :
       std::filesystem::directory_iterator{cluster_->state(scheduler) / "requests"}) {
    logs += file.path().extension() == ".request" ? 1 : 0;
  }
  EXPECT_EQ(logs, 1U) << "of the first run alone";
  cluster_->start(scheduler);
  const apps::json data = asked.answer();
  ASSERT_TRUE(data.is_object()) << asked.failure() << cluster_->last_words();
  EXPECT_GE(data.at("generation"), 1);
  const apps::json alone =
      ovir_json({"run", "-m", model_, "-p", prompt, "-n", "200", "--temp", "0.5", "--seed", "3"});
  EXPECT_EQ(data.at("tokens"), alone["tokens"]);
  EXPECT_EQ(data.at("transcript"), alone["transcript"]);
}

} // namespace
} // namespace ovir::test
