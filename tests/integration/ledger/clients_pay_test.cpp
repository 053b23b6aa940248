// Clients whose own accounts pay, on clusters of processes: what they signed and nothing else. Also
// what nodes ask, and newcomers that wait for their audits.
#include "ledger/rules/attest.hpp"
#include "messages/hex.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using apps::json;
using ::testing::HasSubstr;

constexpr std::uint64_t credit = paid_cluster::credit;

class clients_pay : public paid_requests {
protected:
  std::uint64_t client_free() { return of(paid_->account_of(paid_->client().id()), "free"); }
  [[nodiscard]] bool client_has(std::uint64_t free,
                                std::chrono::seconds within = std::chrono::seconds{30}) {
    return paid_->nodes().wait_until([&] { return client_free() == free; }, within);
  }
  /// A command of the protocol, with a client of its own that has no idea of what it sends.
  json plainly(std::string_view command, const json& args) {
    const secret_key key = paid_->client();
    apps::shell_target target;
    target.addresses = {paid_->nodes().admin_address(paid_->nodes().index_of("front"))};
    const auto link = apps::shell_link::make(key, target).value();
    link->connect_next();
    const auto until = apps::shell_link::clock::now() + std::chrono::seconds{60};
    while (apps::shell_link::clock::now() < until) {
      const auto what = link->next(until);
      if (std::holds_alternative<apps::shell_link::up>(what)) {
        EXPECT_TRUE(link->send({{"id", 1}, {"command", command}, {"args", args}}));
      } else if (const auto* const reply = std::get_if<json>(&what);
                 reply != nullptr && reply->contains("ok")) {
        return *reply;
      }
    }
    ADD_FAILURE() << "no answer to " << command;
    return json::object();
  }
  static std::string why(const json& reply) {
    return reply.contains("error") ? reply["error"].value("message", "") : std::string{};
  }
  /// The entry that this node offers for a request.
  ledger::reserve offer(const json& order, digest& ledger) {
    const json reply = plainly("quote", order);
    EXPECT_EQ(why(reply), "");
    ledger = digest_from_hex(reply.at("data").at("ledger").get<std::string>()).value();
    const auto bytes =
        bytes_from_hex(reply.at("data").at("entry").get<std::string>(), "an offer", 16'384).value();
    return std::get<ledger::reserve>(ledger::decode_entry(bytes).value().what);
  }
  static std::string sealed(const secret_key& key, const digest& ledger, const ledger::command& c) {
    std::vector<std::byte> bytes;
    ledger::encode({0, c, ledger::sign_action(key, ledger, c)}, bytes);
    return to_hex(std::span<const std::byte>{bytes});
  }
};

TEST_F(clients_pay, from_their_own_accounts_or_not_at_all) {
  ASSERT_NO_FATAL_FAILURE(start({.clients_pay = true}));
  paid_->mint("front", 500 * credit);
  EXPECT_THAT(paid_->run(1, 60), HasSubstr("run it with --pay"));
  EXPECT_THAT(paid_->run(2, 60, nullptr, paid_cluster::goes_on, 100 * credit),
              HasSubstr("has 0 micro-credits free"))
      << "told before anything is computed";
  paid_->mint("client", 250 * credit);
  EXPECT_THAT(paid_->run(3, 60, nullptr, paid_cluster::goes_on, 99 * credit),
              HasSubstr("more than the 99000000"));
  json answer;
  ASSERT_EQ(paid_->run(4, 60, &answer, paid_cluster::goes_on, 100 * credit), "") << state();
  EXPECT_EQ(answer.at("tokens").size(), 60U);
  EXPECT_TRUE(client_has(150 * credit)) << state();
  EXPECT_TRUE(earns("books", 49'500'000U)) << state();
  EXPECT_TRUE(earns("two", 49'500'000U)) << state();
  // What was reserved and not needed comes back to who paid.
  json stopped;
  ASSERT_EQ(paid_->run(5, 100, &stopped, paid_cluster::ends_early, 200 * credit), "");
  const std::uint64_t used = stopped.at("tokens").size() + paid_cluster::prompt;
  EXPECT_LT(used, 100U);
  EXPECT_TRUE(client_has((150 - used) * credit, refunded)) << state();
  EXPECT_EQ(of(paid_->account("front"), "free"), 500 * credit) << "the scheduler paid nothing";
  // Everybody may read which entries made it so, and by which rules.
  const json log = paid_->nodes().ask(paid_->nodes().index_of("front"), "ledger log 1");
  EXPECT_THAT(log.dump(), HasSubstr(R"("kind":"entrust")"));
  EXPECT_EQ(log.at("entries").at(0).at("entry"), 1U);
  const json rules = paid_->nodes().ask(paid_->nodes().index_of("front"), "ledger policy");
  EXPECT_EQ(rules.at("mode"), "bonded");
  EXPECT_EQ(rules.at("deters"), true);
  EXPECT_EQ(rules.at("ledger"), log.at("head").at("ledger"));
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(clients_pay, what_they_signed_and_nothing_else) {
  ASSERT_NO_FATAL_FAILURE(start({.clients_pay = true}));
  paid_->mint("client", 500 * credit);
  const secret_key key = paid_->client();
  digest ledger;
  std::uint64_t nonce = 100;
  const auto pay = [&](std::uint64_t request, const std::string& with) {
    json asked = paid_cluster::order(request, 60);
    asked["payment"] = with;
    return why(plainly("run", asked));
  };
  const auto offered = [&](std::uint64_t request) {
    ledger::reserve r = offer(paid_cluster::order(request, 60), ledger);
    r.nonce = ++nonce;
    return r;
  };
  ledger::reserve r = offered(1);
  EXPECT_EQ(r.payer, key.id());
  EXPECT_EQ(r.scheduler, paid_->secret_of("front").id());
  EXPECT_EQ(r.prompt + r.completion_max, 100U);
  // Forgers who sign what they made of an offer themselves. A request that failed stays failed.
  r.rate = 1;
  EXPECT_THAT(pay(1, sealed(key, ledger, r)), HasSubstr("not what this node offered"));
  r = offered(2);
  r.stages.back().ask_ppm = 1;
  EXPECT_THAT(pay(2, sealed(key, ledger, r)), HasSubstr("not what this node offered"));
  r = offered(3);
  r.payer = paid_->secret_of("two").id();
  EXPECT_THAT(pay(3, sealed(key, ledger, r)), HasSubstr("sign")) << "for another to pay";
  r = offered(4);
  EXPECT_THAT(pay(5, sealed(key, ledger, r)), HasSubstr("signed for another request"));
  EXPECT_THAT(pay(6, "00ff"), HasSubstr("does not know"));
  EXPECT_EQ(client_free(), 500 * credit);

  r = offered(7);
  const std::string payment = sealed(key, ledger, r);
  ASSERT_EQ(pay(7, payment), "") << state();
  ASSERT_TRUE(client_has(400 * credit)) << state();
  EXPECT_EQ(pay(7, payment), "") << "the same request is the same answer";
  EXPECT_THAT(pay(8, payment), HasSubstr("signed for another request"));
  // The client itself shows the keeper what it signed: that is there already.
  EXPECT_EQ(why(plainly("ledger", {{"action", "submit"}, {"subject", payment}})), "");
  EXPECT_EQ(client_free(), 400 * credit) << "and was paid once";
  // A scheduler that knows of nothing any more offers the same again, for a nonce that was used.
  test_cluster& nodes = paid_->nodes();
  nodes.kill(nodes.index_of("front"));
  nodes.start(nodes.index_of("front"));
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  const std::uint64_t used = r.nonce;
  r = offered(7);
  r.nonce = used;
  EXPECT_NE(pay(7, sealed(key, ledger, r)), "");
  EXPECT_EQ(client_free(), 400 * credit);
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(clients_pay, and_transfer_and_stake_by_their_own_key) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  paid_->mint("client", 100 * credit);
  test_cluster& nodes = paid_->nodes();
  const auto own = [&](const std::string& line) {
    cluster_shell shell = nodes.shell({nodes.index_of("front")});
    const apps::shell_outcome outcome = shell.call("account " + line);
    return failure_text(outcome);
  };
  const std::string two = paid_->key_of("two");
  EXPECT_EQ(own(fmt::format("transfer {} {}", two, 30 * credit)), "");
  EXPECT_EQ(of(paid_->account("two"), "free"), 30 * credit);
  EXPECT_EQ(own(fmt::format("stake {}", 20 * credit)), "");
  const json mine = paid_->account_of(paid_->client().id());
  EXPECT_EQ(of(mine, "free"), 50 * credit);
  EXPECT_EQ(of(mine, "stake"), 20 * credit);
  EXPECT_THAT(own(fmt::format("transfer {} {}", two, 51 * credit)),
              HasSubstr("which is less than"));
  EXPECT_THAT(own("give all"), HasSubstr("none of balance"));
  // Sent twice, it moves once; signed for other credits than were sent, it moves nothing.
  const json head = plainly("ledger", {{"action", "head"}}).at("data");
  const digest ledger = digest_from_hex(head.at("ledger").get<std::string>()).value();
  const secret_key key = paid_->client();
  const ledger::transfer gift{key.id(), paid_->secret_of("two").id(), credit,
                              std::uint64_t{1} << 60U};
  const std::string entry = sealed(key, ledger, gift);
  const json once = plainly("ledger", {{"action", "submit"}, {"subject", entry}});
  const json twice = plainly("ledger", {{"action", "submit"}, {"subject", entry}});
  EXPECT_EQ(once.at("data").at("entry"), twice.at("data").at("entry"));
  EXPECT_EQ(client_free(), 49 * credit);
  ledger::transfer more = gift;
  more.amount = 2 * credit;
  more.nonce += 1;
  std::vector<std::byte> forged;
  ledger::encode({0, more, ledger::sign_action(key, ledger, gift)}, forged);
  const json refused = plainly(
      "ledger", {{"action", "submit"}, {"subject", to_hex(std::span<const std::byte>{forged})}});
  EXPECT_THAT(why(refused), HasSubstr("sign"));
  EXPECT_EQ(client_free(), 49 * credit);
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(paid_requests, cost_what_their_nodes_ask_and_go_to_who_asks_less) {
  ASSERT_NO_FATAL_FAILURE(start(
      {.second_half = {"two", "three"}, .asks = {{"books", 2'000'000}, {"two", 900'000'000}}}));
  paid_->mint("front", 500 * credit);
  json answer;
  ASSERT_EQ(paid_->run(1, 60, &answer), "") << state();
  // 100 tokens; four layers at twice the rate, four at the rate: half as much again.
  ASSERT_TRUE(settled(350 * credit)) << state();
  EXPECT_TRUE(earns("books", 99'000'000U)) << state();
  EXPECT_TRUE(earns("three", 49'500'000U)) << state();
  EXPECT_EQ(of(paid_->account("two"), "pending"), 0U) << "no node is 900 times as fast";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

// Both of the second half are newcomers at one address: together they have what one may have.
TEST_F(clients_pay, nodes_but_not_newcomers_that_wait_for_their_audits) {
  ASSERT_NO_FATAL_FAILURE(start({.mode = "zero-bond",
                                 .second_half = {"two", "three"},
                                 .newcomer_units = 4,
                                 .more_rules = "newcomer_pool_ppm = 1000000\n"}));
  paid_->mint("front", 900 * credit);
  paid_->mint("books", 200 * credit);
  paid_->stake("books", 200 * credit); // no newcomer
  const auto pending = [&](const std::string& name) { return of(paid_->account(name), "pending"); };
  const auto both = [&] { return pending("two") + pending("three"); };
  for (std::uint64_t id = 1; id <= 2; ++id) { // three windows each
    ASSERT_EQ(paid_->run(id, 60), "") << state();
    ASSERT_TRUE(settled((900 - 100 * id) * credit)) << state();
  }
  test_cluster& nodes = paid_->nodes();
  ASSERT_TRUE(nodes.wait_until([&] { return both() == 99'000'000U; })) << state();
  EXPECT_THAT(why(plainly("run", paid_cluster::order(3, 60))), HasSubstr("wait for their audit"))
      << "a shell would go on asking";
  // It does, until its deadline; then it says why it was not served.
  cluster_shell shell = nodes.shell({nodes.index_of("front")}, std::chrono::milliseconds{1'500});
  EXPECT_THAT(failure_text(shell.call("run", paid_cluster::order(4, 60))),
              HasSubstr("wait for their audit"));
  // Without the one that worked the other, at the same address, has no right of its own.
  const bool two_worked = pending("two") > 0;
  const std::string other = two_worked ? "three" : "two";
  const std::uint64_t before = pending(other);
  nodes.kill(nodes.index_of(two_worked ? "two" : "three"));
  std::string trouble;
  std::uint64_t id = 5;
  const auto run_again = [&] {
    trouble = why(plainly("run", paid_cluster::order(id++, 60)));
    return trouble.empty();
  };
  EXPECT_TRUE(nodes.wait_until([&] {
    EXPECT_FALSE(run_again());
    return trouble.find("windows pending together, as many as one may") != std::string::npos;
  })) << trouble;
  EXPECT_EQ(both(), 99'000'000U);
  // Stake makes a newcomer known: what it lacked it has.
  paid_->mint(other, 200 * credit);
  paid_->stake(other, 200 * credit);
  EXPECT_TRUE(nodes.wait_until(run_again)) << trouble;
  EXPECT_TRUE(earns(other, before + 49'500'000U)) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(clients_pay, over_http_are_told_to_come_back_while_the_keeper_is_not_there_yet) {
  paid_.emplace(paid_cluster::options{.keeper_computes = false});
  test_cluster& nodes = paid_->nodes();
  const std::size_t front = nodes.index_of("front");
  const std::uint16_t port = free_port();
  write_file(nodes.config(front),
             read_file(nodes.config(front)) +
                 fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port));
  for (const char* const name : {"front", "one", "two"}) {
    nodes.start(nodes.index_of(name));
  }
  wait_until_ready(port);
  const std::string body =
      json{{"model", "synthetic.gguf"}, {"prompt", {5, 6, 7}}, {"max_tokens", 4}}.dump();
  const auto ask = [&] { return http_ask(port, "POST", "/v1/completions", body); };
  const http_answer early = ask();
  EXPECT_EQ(early.status, 503) << early.body;
  EXPECT_TRUE(early.fields.contains("retry-after"));
  EXPECT_THAT(early.body, HasSubstr("cannot be reached yet"));
  nodes.start(nodes.index_of("books"));
  wait_for_ledger();
  paid_->mint("front", 100 * credit);
  EXPECT_TRUE(nodes.wait_until([&] { return ask().status == 200; })) << ask().body;
}

} // namespace
} // namespace ovir::test
