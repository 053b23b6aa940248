// Requests that are paid for, on clusters of processes: what is reserved, earned, settled, and what
// is left when any party dies in the middle. Convictions are in convictions_test.cpp.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using apps::json;
using ::testing::HasSubstr;

constexpr std::uint64_t credit = paid_cluster::credit;

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
  EXPECT_TRUE(settled((150 - used) * credit, refunded)) << state();
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
  // The log grows meanwhile, by what audits state: followed is its head of the same moment.
  for (const char* const name : {"front", "two"}) {
    EXPECT_TRUE(nodes.wait_until([&] {
      return paid_->verify_copy(name).at("head") == paid_->verify().at("head");
    })) << name
        << " has " << paid_->verify_copy(name) << "\n"
        << nodes.last_words();
  }
  // The keeper forgets the request, and goes on as if it had never been: each entry is sound.
  nodes.kill(books);
  const json kept = paid_->verify_copy("two").at("head");
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

} // namespace
} // namespace ovir::test
