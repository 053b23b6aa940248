// A scheduler that dies for good in the midst of a paid request: its stages are paid by what they
// claim, and the rest goes back to who paid.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using apps::json;

class claims_of_a_dead_scheduler : public paid_requests {
protected:
  std::uint64_t pending(const std::string& name) { return of(paid_->account(name), "pending"); }
};

TEST_F(claims_of_a_dead_scheduler, pay_its_stages_and_give_back_the_rest) {
  constexpr std::uint64_t credit = paid_cluster::credit;
  ASSERT_NO_FATAL_FAILURE(start({.workers = {{"one", "0-2"}, {"two", "3-5"}, {"three", "6-7"}}}));
  test_cluster& nodes = paid_->nodes();
  paid_->mint("front", 500 * credit);
  json order = paid_cluster::order(1, 200);
  order["speculate"] = "off";
  asked_request asked{nodes, {nodes.index_of("front")}, std::move(order)};
  ASSERT_TRUE(asked.wait_for_tokens(4)) << nodes.last_words();
  // The keeper stands still: no window that is stated from now on is accrued by its scheduler.
  nodes.freeze(nodes.index_of("books"));
  ASSERT_TRUE(asked.wait_for_tokens(110)) << nodes.last_words();
  nodes.kill(nodes.index_of("front"));
  nodes.thaw(nodes.index_of("books"));
  constexpr std::uint64_t reserved = 240 * credit;
  ASSERT_TRUE(nodes.wait_until(
      [&] { return of(paid_->account("front"), "free") > 500 * credit - reserved; }, 240s))
      << state();
  // 150 positions were computed at least: all of four windows, 128 positions and one token more.
  const std::uint64_t used = 500 * credit - of(paid_->account("front"), "free");
  EXPECT_GE(used, 129 * credit);
  EXPECT_LT(used, reserved);
  EXPECT_EQ(used % (32 * credit), credit) << "windows, and the token behind them";
  const std::uint64_t paid = pending("one") + pending("two") + pending("three");
  EXPECT_EQ(paid, used - used / 100) << "a hundredth is for audits";
  EXPECT_EQ(pending("one"), pending("two")) << "three layers each";
  EXPECT_NEAR(static_cast<double>(pending("three")), static_cast<double>(pending("one")) * 2 / 3,
              100.0);
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

} // namespace
} // namespace ovir::test
