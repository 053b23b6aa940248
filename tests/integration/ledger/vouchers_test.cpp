// Clients over HTTP that pay for themselves: the budget of one API key at three gateways.
#include "gateway/access/api_keys.hpp"
#include "ledger/rules/attest.hpp"
#include "messages/hex.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using ::testing::HasSubstr;

constexpr std::uint64_t voucher_credit = paid_cluster::credit;

class voucher_cluster : public paid_requests {
protected:
  struct asked {
    std::uint64_t id; ///< the client's
    std::size_t at;   ///< which gateway
    std::uint32_t tokens;
    http_answer answer{};
  };

  void start() {
    key_ = ovir_json({"key", "create", "-f", key_file(), "ann", "--voucher", "ledger"});
    paid_.emplace(paid_cluster::options{.schedulers = {"second", "third"}});
    test_cluster& nodes = paid_->nodes();
    for (const char* const name : {"front", "second", "third"}) {
      ports_.push_back(free_port());
      std::ofstream{nodes.config(nodes.index_of(name)), std::ios::app} << fmt::format(
          "\n[gateway]\nlisten = \"127.0.0.1:{}\"\nkeys = \"{}\"\n", ports_.back(), key_file());
    }
    nodes.start();
    ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
    wait_for_gateways();
  }
  void wait_for_gateways() {
    for (const std::uint16_t port : ports_) {
      wait_until_ready(port);
    }
  }
  /// As if the power went: every process ends at once.
  void kill_and_start_all() {
    test_cluster& nodes = paid_->nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes.kill(i);
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes.start(i);
    }
    nodes.wait_until_whole();
    ASSERT_NO_FATAL_FAILURE(wait_for_heads({}));
    wait_for_gateways();
  }

  [[nodiscard]] std::string key_file() const { return (folder_.path() / "keys.json").string(); }
  [[nodiscard]] http_fields bearer(std::uint64_t id = 0) const {
    http_fields fields{{"Authorization", "Bearer " + key_.at("key").get<std::string>()}};
    if (id != 0) {
      fields.emplace_back("X-OVIR-Request", fmt::format("{:016x}", id));
    }
    return fields;
  }

  /// A command that the account signs, through a gateway's node, which has no say in it.
  apps::json submit(const ledger::command& what) {
    test_cluster& nodes = paid_->nodes();
    const std::size_t front = nodes.index_of("front");
    const digest ledger =
        digest_from_hex(nodes.ask(front, "ledger head").at("ledger").get<std::string>()).value();
    std::vector<std::byte> bytes;
    ledger::encode({0, what, ledger::sign_action(paid_->client(), ledger, what)}, bytes);
    return nodes.ask(front, "ledger submit " + to_hex(std::span<const std::byte>{bytes}));
  }
  digest give_voucher(std::uint64_t limit, std::uint64_t expires = 4'000'000'000) {
    ledger::voucher v;
    v.account = paid_->client().id();
    v.key = digest_from_hex(key_.at("in_ledger").get<std::string>()).value();
    v.limit = limit;
    v.expires = expires;
    for (const char* const name : {"front", "second", "third"}) {
      v.schedulers.push_back(paid_->secret_of(name).id());
    }
    std::sort(v.schedulers.begin(), v.schedulers.end());
    v.nonce = ++nonce_;
    (void)submit(v);
    return voucher_id(v);
  }

  /// An answer of all its tokens, or of a few.
  [[nodiscard]] static std::string body_of(std::uint32_t tokens, bool ends_early) {
    plain_json body{{"model", "synthetic.gguf"},
                    {"max_tokens", tokens},
                    {"temperature", 0.8},
                    {"seed", paid_cluster::goes_on}};
    if (ends_early) {
      body["response_format"] = {
          {"type", "json_schema"},
          {"json_schema", {{"name", "short"}, {"schema", {{"type", "boolean"}}}}}};
    } else {
      body["min_tokens"] = tokens;
    }
    for (std::uint32_t i = 0; i < paid_cluster::prompt; ++i) {
      body["prompt"].push_back(3 + i % 7);
    }
    return body.dump();
  }
  [[nodiscard]] http_socket send(const asked& a, bool ends_early = false) const {
    http_socket socket{ports_[a.at]};
    socket.send(http_text("POST", "/v1/completions", body_of(a.tokens, ends_early), bearer(a.id)));
    return socket;
  }
  /// Asks for all at once, and again for what failed otherwise than for want of budget, as clients
  /// do.
  void ask_until_answered(std::vector<asked>& all) const {
    const auto answered = [](const asked& a) {
      return a.answer.status == 200 || a.answer.status == 429;
    };
    for (int round = 0; round < 200 && !std::ranges::all_of(all, answered); ++round) {
      std::vector<std::pair<asked*, http_socket>> open;
      for (asked& a : all) {
        if (!answered(a)) {
          open.emplace_back(&a, send(a));
        }
      }
      for (auto& [a, socket] : open) {
        a->answer = socket.answer();
      }
    }
    for (const asked& a : all) {
      EXPECT_TRUE(answered(a)) << a.id << ": " << a.answer.status << " " << a.answer.body;
    }
  }
  static std::uint64_t served(const std::vector<asked>& all) {
    std::uint64_t tokens = 0;
    for (const asked& a : all) {
      if (a.answer.status == 200) {
        tokens += plain_json::parse(a.answer.body)["usage"]["total_tokens"].get<std::uint64_t>();
      }
    }
    return tokens;
  }
  [[nodiscard]] plain_json account(std::size_t at) const {
    const http_answer answer = http_ask(ports_[at], "GET", "/v1/account", {}, bearer());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? plain_json::parse(answer.body) : plain_json{};
  }
  [[nodiscard]] bool all_settled(std::uint64_t spent) {
    return paid_->nodes().wait_until([&] {
      const plain_json now = account(0);
      return now["spent"] == spent && now["reserved"] == 0;
    });
  }
  /// Every request of the key, page after page.
  [[nodiscard]] std::vector<plain_json> statement(std::size_t at) const {
    std::vector<plain_json> all;
    std::string query;
    for (bool more = true; more;) {
      const http_answer answer =
          http_ask(ports_[at], "GET", "/v1/account/statement" + query, {}, bearer());
      EXPECT_EQ(answer.status, 200) << answer.body;
      const plain_json page = plain_json::parse(answer.body);
      all.insert(all.end(), page["data"].begin(), page["data"].end());
      more = page["has_more"].get<bool>();
      query = more ? fmt::format("?from={}", page["next"].get<std::uint64_t>()) : "";
    }
    return all;
  }

  temporary_folder folder_;
  apps::json key_;
  std::vector<std::uint16_t> ports_;
  std::uint64_t nonce_{0};
};

TEST_F(voucher_cluster, holds_a_budget_to_the_token_at_three_gateways_and_over_their_restart) {
  constexpr std::uint64_t small = paid_cluster::prompt + 24;
  constexpr std::uint64_t large = paid_cluster::prompt + 160;
  constexpr std::uint64_t budget = 12 * small + 10 * large; // tokens
  ASSERT_NO_FATAL_FAILURE(start());
  paid_->mint("client", 10'000 * voucher_credit);
  const digest voucher = give_voucher(budget * voucher_credit);
  EXPECT_EQ(account(1)["voucher"], to_hex(voucher));
  // Some are served and settled.
  std::vector<asked> first;
  for (std::size_t i = 0; i < 12; ++i) {
    first.push_back({100 + i, i % 3, 24});
  }
  ask_until_answered(first);
  EXPECT_EQ(served(first), 12 * small);
  ASSERT_TRUE(all_settled(12 * small * voucher_credit)) << account(0) << state();
  // 64 at once, of which ten can be paid; all processes die while these are computed.
  std::vector<asked> rest;
  for (std::size_t i = 0; i < 64; ++i) {
    rest.push_back({200 + i, i % 3, 160});
  }
  {
    std::vector<http_socket> open;
    for (const asked& a : rest) {
      open.push_back(send(a));
    }
    ASSERT_TRUE(paid_->nodes().wait_until([&] { return account(2)["reserved"] > 0; }));
    ASSERT_NO_FATAL_FAILURE(kill_and_start_all());
  }
  EXPECT_EQ(paid_->verify().at("ok"), true);
  ask_until_answered(rest);
  EXPECT_EQ(served(first) + served(rest), budget) << state();
  EXPECT_EQ(std::ranges::count_if(rest, [](const asked& a) { return a.answer.status == 200; }), 10);
  for (const asked& a : rest) {
    if (a.answer.status == 429) {
      EXPECT_EQ(plain_json::parse(a.answer.body)["error"]["code"], "insufficient_quota");
      EXPECT_THAT(a.answer.body, HasSubstr("left until 4000000000"));
    }
  }
  ASSERT_TRUE(all_settled(budget * voucher_credit)) << account(0) << state();
  for (std::size_t at = 0; at < ports_.size(); ++at) {
    EXPECT_EQ(account(at)["left"], 0);
    EXPECT_EQ(account(at)["limit"], budget * voucher_credit);
    std::uint64_t tokens = 0;
    std::uint64_t spent = 0;
    for (const plain_json& r : statement(at)) {
      tokens += r["prompt_tokens"].get<std::uint64_t>();
      tokens += r["completion_tokens"].get<std::uint64_t>();
      spent += r["spent"].get<std::uint64_t>();
    }
    EXPECT_EQ(tokens, budget);
    EXPECT_EQ(spent, budget * voucher_credit);
  }
  EXPECT_EQ(of(paid_->account_of(paid_->client().id()), "free"),
            (10'000 - budget) * voucher_credit);
  EXPECT_EQ(of(paid_->account("front"), "free"), 0U) << "no node paid";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(voucher_cluster, gives_back_what_is_not_used_and_ends_when_its_account_says_so) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto ask = [&](std::uint64_t id, std::size_t at, std::uint32_t tokens,
                       bool ends_early = false) {
    return send({id, at, tokens}, ends_early).answer();
  };
  const http_answer none = ask(1, 0, 8);
  EXPECT_EQ(none.status, 429) << "no voucher was given yet: " << none.body;
  EXPECT_EQ(http_ask(ports_[0], "GET", "/v1/account", {}, bearer()).status, 404);
  paid_->mint("client", 1'000 * voucher_credit);
  const digest voucher = give_voucher(200 * voucher_credit);
  const http_answer early = ask(1, 1, 100, true);
  ASSERT_EQ(early.status, 200) << early.body;
  const std::uint64_t told = plain_json::parse(early.body)["usage"]["total_tokens"];
  EXPECT_LT(told, 100U);
  ASSERT_TRUE(paid_->nodes().wait_until(
      [&] {
        const plain_json now = account(0);
        return now["spent"] > 0 && now["reserved"] == 0;
      },
      refunded))
      << account(0) << state();
  const std::uint64_t used = account(0)["spent"].get<std::uint64_t>() / voucher_credit;
  EXPECT_TRUE(used == told || used == told + 1)
      << used << ": with the token that ends it, " << told;
  const auto left = static_cast<std::uint32_t>(200 - used - paid_cluster::prompt);
  const http_answer more = ask(2, 2, left + 1);
  EXPECT_EQ(more.status, 429) << "a token more than there are: " << more.body;
  EXPECT_THAT(more.body, HasSubstr(fmt::format("has {} of its 200000000 left",
                                               (200 - used) * voucher_credit)));
  // The same request may come again when it can be paid, under its id.
  const digest second = give_voucher(500 * voucher_credit);
  EXPECT_EQ(ask(2, 2, left + 1).status, 200);
  EXPECT_EQ(account(0)["voucher"], to_hex(second)) << "the one with the most left";
  (void)submit(ledger::revoke{paid_->client().id(), second, ++nonce_});
  EXPECT_EQ(ask(3, 0, left).status, 200) << "all that the first has left";
  (void)submit(ledger::revoke{paid_->client().id(), voucher, ++nonce_});
  const http_answer revoked = ask(4, 0, 8);
  EXPECT_EQ(revoked.status, 429);
  EXPECT_THAT(revoked.body, HasSubstr("was revoked"));
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

} // namespace
} // namespace ovir::test
