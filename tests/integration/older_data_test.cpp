// The state folder that an older build wrote (tests/older): this one goes on with its keys, its API
// keys, what it kept for reuse and its ledger, to the bit, and may be upgraded while it is in use.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

std::string older_commit() {
  std::string commit = read_file(source_file("tests/older/commit"));
  commit.resize(commit.find('\n'));
  return commit;
}

class older_data : public ::testing::Test {
protected:
  explicit older_data(const std::string& commit = older_commit()) {
    const child_result unpacked =
        run_child({"/usr/bin/env", "tar", "-xzf",
                   source_file("tests/older/" + commit + ".tar.gz").string(), "-C", state()});
    EXPECT_EQ(unpacked.exit_code, 0) << unpacked.err;
    std::string config = read_file(path("node.toml"));
    replace(config, ":7380", fmt::format(":{}", port_));
    replace(config, ":7310", fmt::format(":{}", free_port()));
    write_file(path("node.toml"), config);
    // Some older builds left the operator's key with the node; this one wants it elsewhere.
    if (fs::exists(path("admin.key"))) {
      fs::rename(path("admin.key"), operators_.path() / "admin.key");
    }
  }

  [[nodiscard]] std::string state() const { return folder_.path().string(); }
  [[nodiscard]] fs::path path(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] json ledger(const std::string& command) const {
    return ovir_json({"ledger", command, "--ledger", path("ledger").string()});
  }

  static std::string question() {
    return json{{"model", "embedded"},
                {"prompt", "Once upon a time there was a little fox who wanted to see the sea and "
                           "asked his mother how far it is"},
                {"max_tokens", 48},
                {"temperature", 0}}
        .dump();
  }

  /// What a node of this build answers to what the older one was asked.
  json ask_again() {
    child_process node{{ovir_program(), "node", "-c", path("node.toml").string()}, {}};
    wait_until_ready(port_);
    // Requests are paid for, and it takes a moment until who keeps the ledger, itself, is reached.
    http_answer answer;
    do {
      answer = http_ask(port_, "POST", "/v1/completions", question(),
                        {{"Authorization", "Bearer " + read_file(path("key.seen"))}});
    } while (answer.body.find("cannot be reached") != std::string::npos);
    EXPECT_EQ(answer.status, 200) << answer.body;
    node.send_signal(SIGTERM);
    const child_result ended = node.wait();
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
    return json::parse(answer.body, nullptr, false);
  }

  /// What is paid for is computed.
  void leave_the_ledger() const {
    std::string config = read_file(path("node.toml"));
    replace(config, ", \"ledger\"]", "]");
    replace(config, "[ledger]", "");
    write_file(path("node.toml"), config);
  }

  temporary_folder folder_;
  temporary_folder operators_;
  std::uint16_t port_ = free_port();
};

/// A build whose keys had one term, and so other bits (docs/adr/0001-arithmetic.md).
class older_profile : public older_data {
protected:
  older_profile() : older_data("54a96a2") {}
};

TEST_F(older_data, is_used_by_this_build) {
  const json before = json::parse(read_file(path("answer.seen")));
  const std::string key = read_file(path("node.key"));
  EXPECT_EQ(ledger("balance"), json::parse(read_file(path("balance.seen"))));
  const json again = ask_again();
  ASSERT_TRUE(again.contains("choices")) << again;
  EXPECT_EQ(again["choices"][0]["text"], before["choices"][0]["text"]);
  EXPECT_EQ(again["choices"][0]["ovir"]["transcript"], before["choices"][0]["ovir"]["transcript"]);
  EXPECT_EQ(read_file(path("node.key")), key);
}

TEST_F(older_data, is_reused_and_not_computed_again) {
  leave_the_ledger();
  const json before = json::parse(read_file(path("answer.seen")));
  EXPECT_EQ(before["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(ask_again()["usage"]["prompt_tokens_details"]["cached_tokens"],
            before["usage"]["prompt_tokens"]);
}

TEST_F(older_data, has_a_ledger_that_grows_and_was_not_rewritten) {
  const json before = json::parse(read_file(path("balance.seen")));
  (void)ask_again();
  const std::string keeper = path("node.key").string();
  (void)ovir_json({"ledger", "mint", "--ledger", path("ledger").string(), "--key", keeper,
                   "--keeper", keeper, before["accounts"][0]["account"], "5"});
  const json verified = ovir_json({"ledger", "verify", "--ledger", path("ledger").string(),
                                   "--head", path("head.seen").string()});
  EXPECT_GT(verified["head"]["size"], 9) << verified;
  EXPECT_EQ(ledger("balance")["minted"], before["minted"].get<std::uint64_t>() + 5'000'000);
}

TEST_F(older_data, that_is_damaged_is_not_taken_for_new) {
  std::string log = read_file(path("ledger/log"));
  log.at(512 + 80) = static_cast<char>(log.at(512 + 80) ^ 1);
  write_file(path("ledger/log"), log);
  const child_result seen = run_ovir({"ledger", "verify", "--ledger", path("ledger").string()});
  EXPECT_NE(seen.exit_code, 0);
}

TEST_F(older_profile, is_not_mixed_with_what_this_build_computes) {
  leave_the_ledger();
  const json before = json::parse(read_file(path("answer.seen")));
  const json again = ask_again();
  ASSERT_TRUE(again.contains("choices")) << again;
  EXPECT_EQ(again["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_NE(again["choices"][0]["ovir"]["transcript"], before["choices"][0]["ovir"]["transcript"]);
}

} // namespace
} // namespace ovir::test
