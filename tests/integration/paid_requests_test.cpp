// Requests that are paid for, on clusters of processes: what is reserved, earned, settled, taken
// back, and what is left when any party dies in the middle.
#include "ledger/equivocation.hpp"
#include "messages/receipt.hpp"
#include "tests/support/asked_request.hpp"
#include "tests/support/paid_cluster.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using apps::json;
using ::testing::HasSubstr;

constexpr std::uint64_t credit = paid_cluster::credit;

std::uint64_t of(const json& account, const char* key) { return account.at(key); }

std::string hex_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return text;
}

receipt receipt_in(const json& answer) {
  const auto hex = answer.at("receipt").at("bytes").get<std::string>();
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return decode_receipt(bytes).value();
}

class paid_requests : public ::testing::Test {
protected:
  void start(const paid_cluster::options& how) {
    paid_.emplace(how);
    paid_->nodes().start();
    wait_for_ledger();
  }
  /// Until every node can use the ledger, but for one that was convicted.
  void wait_for_ledger(const std::string& but = {}) {
    test_cluster& nodes = paid_->nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (nodes.node(i).name == but) {
        continue;
      }
      ASSERT_TRUE(nodes.wait_until([&] {
        try {
          return !nodes.ask(i, "ledger head").empty();
        } catch (const std::runtime_error&) {
          return false;
        }
      })) << nodes.last_words();
    }
  }
  /// Until everything that was reserved is settled: nothing is stuck.
  [[nodiscard]] bool settled(std::uint64_t front_free) {
    return paid_->nodes().wait_until(
        [&] { return of(paid_->account("front"), "free") == front_free; });
  }
  /// Until so much is pending: what was reserved may be used up before its last windows are paid.
  [[nodiscard]] bool earns(const std::string& name, std::uint64_t pending) {
    return paid_->nodes().wait_until(
        [&] { return of(paid_->account(name), "pending") == pending; });
  }
  [[nodiscard]] std::string state() {
    std::string text = paid_->nodes().last_words();
    for (std::size_t i = 0; i < paid_->nodes().size(); ++i) {
      text += paid_->account(paid_->nodes().node(i).name).dump() + "\n";
    }
    return text;
  }

  std::optional<paid_cluster> paid_;
};

TEST_F(paid_requests, take_from_who_asks_and_give_to_who_computes) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  EXPECT_THAT(paid_->run(1, 60), HasSubstr("has 0 micro-credits free"))
      << "a client without credit is told before anything is computed";
  paid_->mint("front", 250 * credit);
  json answer;
  ASSERT_EQ(paid_->run(2, 60, &answer), "") << state();
  EXPECT_EQ(answer.at("tokens").size(), 60U);
  ASSERT_TRUE(settled(150 * credit)) << state();
  // 100 tokens, one in a hundred parts for assurance, the rest in equal halves.
  EXPECT_TRUE(earns("books", 49'500'000U)) << state();
  EXPECT_TRUE(earns("two", 49'500'000U)) << state();
  // What is reserved and not needed comes back: the answer to this one is cut short.
  json stopped;
  ASSERT_EQ(paid_->run(3, 100, &stopped, paid_cluster::ends_early), "");
  const std::uint64_t used = stopped.at("tokens").size() + paid_cluster::prompt;
  EXPECT_LT(used, 100U);
  EXPECT_TRUE(settled((150 - used) * credit)) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(paid_requests, go_on_and_are_paid_when_the_keeper_dies_in_the_middle) {
  ASSERT_NO_FATAL_FAILURE(start({.keeper_computes = false}));
  paid_->mint("front", 500 * credit);
  test_cluster& nodes = paid_->nodes();
  json asked{{"max_tokens", 200}, {"temperature", 0.8}, {"seed", paid_cluster::goes_on}};
  for (std::uint32_t i = 0; i < paid_cluster::prompt; ++i) {
    asked["tokens"].push_back(3 + i % 7);
  }
  asked_request running{nodes, {nodes.index_of("front")}, asked, 1};
  ASSERT_TRUE(running.wait_for_tokens(50)) << nodes.last_words();
  nodes.kill(nodes.index_of("books"));
  const json answer = running.answer();
  ASSERT_EQ(running.failure(), "") << nodes.last_words();
  EXPECT_EQ(answer.at("tokens").size(), 200U);
  EXPECT_EQ(paid_->verify().at("ok"), true) << "as it was left";
  EXPECT_THAT(paid_->run(9, 8), HasSubstr("cannot be reached"));
  nodes.start(nodes.index_of("books"));
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  ASSERT_TRUE(settled(260 * credit)) << state();
  EXPECT_TRUE(earns("one", 118'800'000U)) << state();
  EXPECT_TRUE(earns("two", 118'800'000U)) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(paid_requests, pay_who_took_over_when_a_worker_dies_in_the_middle) {
  ASSERT_NO_FATAL_FAILURE(start({.second_half = {"two", "three"}}));
  paid_->mint("front", 500 * credit);
  test_cluster& nodes = paid_->nodes();
  json asked{{"max_tokens", 200}, {"temperature", 0.8}, {"seed", paid_cluster::goes_on}};
  for (std::uint32_t i = 0; i < paid_cluster::prompt; ++i) {
    asked["tokens"].push_back(3 + i % 7);
  }
  asked_request running{nodes, {nodes.index_of("front")}, asked, 1};
  ASSERT_TRUE(running.wait_for_tokens(50)) << nodes.last_words();
  const json jobs = nodes.ask(nodes.index_of("front"), "jobs");
  const std::string second = jobs.at("jobs").at(0).at("path").at(1).at("name");
  nodes.kill(nodes.index_of(second));
  (void)running.answer();
  ASSERT_EQ(running.failure(), "") << nodes.last_words();
  ASSERT_TRUE(settled(260 * credit)) << state();
  ASSERT_TRUE(earns("books", 118'800'000U)) << state(); // both stages of a window at once
  const std::uint64_t first = of(paid_->account("books"), "pending");
  const std::uint64_t two = of(paid_->account("two"), "pending");
  const std::uint64_t three = of(paid_->account("three"), "pending");
  EXPECT_EQ(first, 118'800'000U);
  EXPECT_EQ(two + three, 118'800'000U);
  EXPECT_GT(second == "two" ? three : two, 0U) << "who took over";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(paid_requests, are_settled_when_their_scheduler_dies_in_the_middle) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  paid_->mint("front", 500 * credit);
  test_cluster& nodes = paid_->nodes();
  json asked{{"max_tokens", 200}, {"temperature", 0.8}, {"seed", paid_cluster::goes_on}};
  for (std::uint32_t i = 0; i < paid_cluster::prompt; ++i) {
    asked["tokens"].push_back(3 + i % 7);
  }
  const std::size_t front = nodes.index_of("front");
  asked_request running{nodes, {front}, asked, 1};
  ASSERT_TRUE(running.wait_for_tokens(50)) << nodes.last_words();
  nodes.kill(front);
  EXPECT_EQ(paid_->verify().at("ok"), true) << "as it was left";
  nodes.start(front);
  nodes.wait_until_whole();
  const json answer = running.answer();
  ASSERT_EQ(running.failure(), "") << nodes.last_words();
  EXPECT_EQ(answer.at("tokens").size(), 200U);
  ASSERT_TRUE(settled(260 * credit)) << state();
  EXPECT_TRUE(nodes.wait_until([&] {
    return of(paid_->account("books"), "pending") + of(paid_->account("two"), "pending") ==
           237'600'000U;
  })) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(paid_requests, have_followers_who_notice_a_keeper_that_rewrites) {
  namespace fs = std::filesystem;
  ASSERT_NO_FATAL_FAILURE(start({.follow = true}));
  test_cluster& nodes = paid_->nodes();
  const std::size_t books = nodes.index_of("books");
  paid_->mint("front", 250 * credit);
  const fs::path early = nodes.folder() / "early";
  nodes.kill(books);
  fs::copy(paid_->ledger_folder(), early);
  nodes.start(books);
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  ASSERT_EQ(paid_->run(1, 60), "") << state();
  ASSERT_TRUE(settled(150 * credit)) << state();
  const json kept = paid_->verify().at("head");
  for (const char* const name : {"front", "two"}) {
    EXPECT_TRUE(nodes.wait_until([&] { return paid_->verify_copy(name).at("head") == kept; }))
        << name << " has " << paid_->verify_copy(name) << "\n"
        << nodes.last_words();
  }
  // The keeper forgets the request, and goes on as if it had never been: each entry is sound.
  nodes.kill(books);
  fs::remove_all(paid_->ledger_folder());
  fs::rename(early, paid_->ledger_folder());
  nodes.start(books);
  nodes.wait_until_whole();
  paid_->mint("two", 5 * credit);
  EXPECT_EQ(paid_->verify().at("ok"), true);
  EXPECT_TRUE(nodes.wait_until([&] {
    return fs::exists(nodes.state(nodes.index_of("front")) / "payments" / "fork") &&
           fs::exists(nodes.state(nodes.index_of("two")) / "payments" / "fork");
  })) << nodes.last_words();
  EXPECT_THAT(paid_->run(2, 8), HasSubstr("contradicted itself"));
  EXPECT_EQ(paid_->verify_copy("two").at("head"), kept) << "the copy is what was signed first";
}

class liars : public paid_requests, public ::testing::WithParamInterface<std::string> {};

// Three processes. "two" signs two results of one input: who holds both, convicts it.
TEST_P(liars, are_convicted_the_consumer_is_refunded_and_the_honest_are_paid) {
  const bool bonded = GetParam() == "bonded";
  ASSERT_NO_FATAL_FAILURE(start({.mode = GetParam()}));
  paid_->mint("front", 100 * credit);
  if (bonded) {
    paid_->mint("two", 300 * credit);
    paid_->stake("two", 300 * credit);
  } else {
    paid_->mint("assurance", 100 * credit);
  }
  json answer;
  ASSERT_EQ(paid_->run(1, 60, &answer), "") << state();
  ASSERT_TRUE(settled(0)) << state();
  ASSERT_TRUE(earns("books", 49'500'000U)) << state();
  const std::uint64_t earned = of(paid_->account("books"), "pending");
  ASSERT_EQ(earned, 49'500'000U);
  const receipt r = receipt_in(answer);
  const secret_key liar = paid_->secret_of("two");
  ASSERT_EQ(r.stages.at(1).signer.node, liar.id());
  ledger::equivocation lie{terms_of(r.asked), r.stages[1], r.stages[1]};
  statement& other = lie.second.statements.back();
  other.units[1].bytes[5] ^= 1; // a unit of the last window, 64 to 99
  other.proof = sign_statement(liar, bind_statements(lie.terms, lie.second).back().to_sign);
  const json done = paid_->nodes().ask(paid_->nodes().index_of("front"),
                                       "ledger convict " + hex_of(ledger::to_bytes(lie)));
  EXPECT_GT(done.at("entry").get<std::uint64_t>(), 0U);
  // The windows from the first wrong one on come back to the consumer: tokens 57 and later.
  const json two = paid_->account("two");
  const json books = paid_->account("books");
  const json front = paid_->account("front");
  EXPECT_EQ(two.at("ejected"), true);
  EXPECT_EQ(of(two, "pending"), 0U);
  EXPECT_EQ(of(two, "stake"), 0U);
  EXPECT_EQ(of(two, "free"), 0U);
  EXPECT_EQ(of(books, "pending"), earned) << "who was honest is paid all the same";
  const std::uint64_t tokens = 60 + paid_cluster::prompt;
  const std::uint64_t before = 64 + 1; // accrued with the windows before the wrong one
  const std::uint64_t refund = (tokens - (r.positions > 96 ? 97 : before)) * credit;
  if (bonded) { // a tenth of what is left of the stake goes to who found it: this consumer
    EXPECT_GT(of(front, "free"), refund) << two << books;
  } else {
    EXPECT_EQ(of(front, "free"), refund) << two << books;
  }
  EXPECT_EQ(paid_->verify().at("ok"), true);
  EXPECT_EQ(paid_->verify().at("convictions"), 1U);
  EXPECT_EQ(paid_->verify().at("evidence_replayed"), 1U);
  // A second time convicts nobody again, and the liar gets no more work.
  test_cluster& nodes = paid_->nodes();
  EXPECT_TRUE(nodes.wait_until([&] {
    const json known = nodes.ask(nodes.index_of("front"), "nodes").at("nodes");
    return std::none_of(known.begin(), known.end(), [&](const json& n) {
      return n.at("name") == "two" && n.at("health") == "alive";
    });
  })) << nodes.last_words();
  nodes.kill(nodes.index_of("books"));
  nodes.start(nodes.index_of("books"));
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger("two"));
  EXPECT_EQ(of(paid_->account("books"), "pending"), earned);
  EXPECT_EQ(paid_->account("two"), two) << "a killed keeper forgets nothing";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

INSTANTIATE_TEST_SUITE_P(in_mode, liars, ::testing::Values("bonded", "zero-bond"),
                         [](const auto& mode) {
                           return mode.param == "bonded" ? "bonded" : "zero_bond";
                         });

} // namespace
} // namespace ovir::test
