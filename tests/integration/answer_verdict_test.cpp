// What a node finds of an answer: who computed it, and who audited it, over HTTP and processes.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using testing::HasSubstr;
using names = std::set<std::string>;

/// Those that a verdict names as auditors.
names auditors_in(const plain_json& verdict) {
  names found;
  for (const plain_json& audit : verdict.at("audits")) {
    found.insert(audit.at("name").get<std::string>());
  }
  return found;
}

/// Two workers with a half of the model each, and two verifiers with all of it: no ledger.
class answer_verdict : public ::testing::Test {
protected:
  void SetUp() override {
    cluster_.emplace(cluster_spec{.nodes = {{"front", {"scheduler"}, {{"embedded"}}},
                                            {"low", {"worker"}, {{"embedded", "0-1"}}},
                                            {"high", {"worker"}, {{"embedded", "2-3"}}},
                                            {"first", {"verifier"}, {{"embedded"}}},
                                            {"second", {"verifier"}, {{"embedded"}}}},
                                  .tables = "[audit]\nleast_rate_ppm = 1000000\n",
                                  .cache = "memory_mib = 64\ndisk_mib = 64\n"});
    port_ = free_port();
    write_file(cluster_->config(0),
               read_file(cluster_->config(0)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port_));
    cluster_->start();
    wait_until_ready(port_);
  }
  /// The id of an answer to a plain chat.
  [[nodiscard]] std::string chat(bool receipt = false) {
    plain_json body{{"model", "embedded"},
                    {"messages", {{{"role", "user"}, {"content", "Tell of a fox."}}}},
                    {"max_tokens", 40},
                    {"temperature", 0}};
    if (receipt) {
      body["receipt"] = true;
    }
    const http_answer answer = http_ask(port_, "POST", "/v1/chat/completions", body.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.fields.at("x-ovir-request");
  }
  [[nodiscard]] http_answer get(const std::string& path) const {
    return http_ask(port_, "GET", path);
  }
  /// Asks until the answer's verdict is this one; what it was last.
  [[nodiscard]] plain_json until(const std::string& id, const std::string& wanted) {
    plain_json seen;
    EXPECT_TRUE(cluster_->wait_until([&] {
      const http_answer told = get("/v1/receipts/" + id + "/verdict");
      seen = plain_json::parse(told.body);
      return told.status == 200 && seen.at("verdict") == wanted;
    })) << seen.dump()
        << cluster_->last_words();
    return seen;
  }

  temporary_folder folder_;
  std::optional<test_cluster> cluster_;
  std::uint16_t port_{0};
};

TEST_F(answer_verdict, names_who_computed_a_plain_chat_and_who_audited_it) {
  const std::string id = chat();
  const plain_json found = until(id, "audited");
  ASSERT_EQ(found["stages"].size(), 2U) << found;
  EXPECT_EQ(found["lead"]["name"], "front");
  EXPECT_EQ(found["stages"][0]["name"], "low");
  EXPECT_EQ(found["stages"][0]["last_layer"], 1);
  EXPECT_EQ(found["stages"][1]["name"], "high");
  EXPECT_EQ(found["stages"][1]["first_layer"], 2);
  EXPECT_GE(found["stages"][1]["windows"], 2);
  EXPECT_EQ(found["stages"][1]["right"], found["stages"][1]["windows"]);
  EXPECT_TRUE(found["unaudited"].is_null()) << found;
  EXPECT_TRUE(found["rejected"].empty()) << found;
  const names auditors = auditors_in(found);
  EXPECT_TRUE(auditors == names{"first"} || auditors == names{"second"}) << found;
  EXPECT_GE(found["timing"]["slack_ms"], 0);
}

TEST_F(answer_verdict, goes_with_the_receipt_offline_and_over_a_restart) {
  const std::string id = chat(true);
  const plain_json found = until(id, "audited");
  const std::string receipt = (folder_.path() / "r").string();
  const std::string addenda = (folder_.path() / "a").string();
  write_file(receipt, get("/v1/receipts/" + id).body);
  const std::string bytes = get("/v1/receipts/" + id + "/addenda").body;
  write_file(addenda, bytes);
  const child_result child =
      run_ovir_verify({receipt, "--addenda", addenda, "--any-signer", "--json"});
  EXPECT_EQ(child.exit_code, 0) << child.out << child.err;
  const plain_json offline = plain_json::parse(child.out)["addenda"];
  EXPECT_EQ(offline["right"], offline["windows"]) << offline;
  EXPECT_EQ(offline["audits"][0]["verifier"], found["audits"][0]["node"]);

  // Both are kept: the answer with its receipt by the cache, what was said of it beside the audits.
  EXPECT_EQ(cluster_->terminate(0).exit_code, 0);
  cluster_->start(0);
  cluster_->wait_until_whole();
  wait_until_ready(port_);
  const std::string again = chat(true);
  const plain_json after = until(again, "audited");
  EXPECT_EQ(after["receipt"], found["receipt"]);
  EXPECT_EQ(auditors_in(after), auditors_in(found));
}

TEST_F(answer_verdict, is_of_answers_that_this_node_gave) {
  EXPECT_EQ(get("/v1/receipts/0123456789abcdef/verdict").status, 404);
  EXPECT_EQ(get("/v1/receipts/0123456789abcdef/addenda").status, 404);
  EXPECT_EQ(get("/v1/receipts/x/verdict").status, 404);
  EXPECT_EQ(http_ask(port_, "POST", "/v1/receipts/0123456789abcdef/verdict", "{}").status, 405);
}

TEST_F(answer_verdict, says_that_no_verifier_looked_where_none_is_there) {
  for (const char* const name : {"first", "second"}) {
    cluster_->kill(cluster_->index_of(name));
  }
  const plain_json found = until(chat(), "unaudited");
  EXPECT_EQ(found["stages"].size(), 2U);
  EXPECT_TRUE(found["audits"].empty()) << found;
  EXPECT_THAT(found["text"].get<std::string>(), HasSubstr("It holds, and is unaudited"));
  EXPECT_FALSE(found["stages"][0]["unaudited"].empty());
}

/// Where the ledger's log draws: who looked is who the log named.
class drawn_verdict : public paid_requests {};

TEST_F(drawn_verdict, names_those_whom_the_log_drew) {
  paid_.emplace(paid_cluster::options{.mode = "free",
                                      .keeper_computes = false,
                                      .verifiers = {"first", "second"},
                                      .more_rules = "epoch_s = 2\n"});
  test_cluster& nodes = paid_->nodes();
  const std::size_t front = nodes.index_of("front");
  const std::uint16_t port = free_port();
  write_file(nodes.config(front),
             read_file(nodes.config(front)) +
                 fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port));
  nodes.start();
  wait_for_ledger();
  wait_until_ready(port);
  std::vector<std::string> ids;
  plain_json seen;
  EXPECT_TRUE(nodes.wait_until([&] {
    plain_json prompt = plain_json::array();
    for (std::size_t i = 0; i < 70; ++i) {
      prompt.push_back(3 + (i + ids.size()) % 7);
    }
    const http_answer answer = http_ask(
        port, "POST", "/v1/completions",
        plain_json{
            {"model", "synthetic.gguf"}, {"prompt", prompt}, {"max_tokens", 8}, {"temperature", 0}}
            .dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    ids.push_back(answer.fields.at("x-ovir-request"));
    return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      const http_answer told = http_ask(port, "GET", "/v1/receipts/" + id + "/verdict");
      seen = plain_json::parse(told.body);
      return told.status == 200 && !auditors_in(seen).empty();
    });
  })) << seen.dump()
      << nodes.last_words();
  EXPECT_TRUE(seen["verdict"] == "audited" || seen["verdict"] == "audited_in_part") << seen;
  for (const std::string& name : auditors_in(seen)) {
    EXPECT_TRUE(name == "first" || name == "second") << seen;
  }
}

} // namespace
} // namespace ovir::test
