// Verifiers of a ledger that charges: what is drawn for one pays it, as its statement shows.
#include "tests/support/ledger/paid_requests.hpp"

#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using apps::json;

class audit_fees : public paid_requests {
protected:
  /// What it was paid for audits, as its statement says.
  [[nodiscard]] std::uint64_t fees_of(const std::string& name) {
    std::uint64_t sum = 0;
    const json lines = movements(name);
    for (const json& line : lines) {
      if (line.at("kind") == "compensate") {
        EXPECT_EQ(line.at("reason"), "for honest work beside a convicted node, or an audit");
        sum += line.at("amount").get<std::uint64_t>();
      }
    }
    return sum;
  }
};

// A request of 100 tokens gives its audits one credit: a fee is what is left of it.
TEST_F(audit_fees, are_in_the_statement_of_a_verifier_and_no_more_than_requests_gave) {
  ASSERT_NO_FATAL_FAILURE(start({.keeper_computes = false,
                                 .follow = true,
                                 .verifiers = {"check"},
                                 .more_rules = "epoch_s = 2\n"}));
  paid_->mint("front", 20'000 * paid_cluster::credit);
  std::uint64_t asked = 0;
  ASSERT_TRUE(paid_->nodes().wait_until([&] {
    EXPECT_EQ(paid_->run(++asked, 60), "");
    return of(paid_->account("check"), "pending") > 0;
  })) << state();
  const std::uint64_t pending = of(paid_->account("check"), "pending");
  EXPECT_GE(fees_of("check"), pending);
  EXPECT_LE(fees_of("check"), asked * paid_cluster::credit);
  EXPECT_EQ(fees_of("one"), 0U);
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

} // namespace
} // namespace ovir::test
