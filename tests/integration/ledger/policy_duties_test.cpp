// Nodes whose configuration does less than the rules of their ledger want do not run.
#include "tests/support/ledger/paid_requests.hpp"

#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using testing::HasSubstr;

class policy_duties : public paid_requests {
protected:
  void replace_in(const std::filesystem::path& file, const std::string& what,
                  const std::string& with) {
    std::string text = read_file(file);
    const std::size_t at = text.find(what);
    ASSERT_NE(at, std::string::npos) << text;
    write_file(file, text.replace(at, what.size(), with));
  }
  /// Until it ends by itself.
  [[nodiscard]] child_result run_node(const std::string& name) {
    test_cluster& nodes = paid_->nodes();
    return run_ovir({"node", "-c", nodes.config(nodes.index_of(name)).string()});
  }
};

TEST_F(policy_duties, a_verifier_that_audits_less_ends_and_names_the_key) {
  paid_.emplace(paid_cluster::options{.verifiers = {"lazy"}});
  test_cluster& nodes = paid_->nodes();
  const std::size_t lazy = nodes.index_of("lazy");
  const std::string config = read_file(nodes.config(lazy));
  write_file(nodes.config(lazy), config + "\n[audit]\nleast_rate_ppm = 149999\n");
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i != lazy) {
      nodes.start(i);
    }
  }
  const child_result refused = run_node("lazy");
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err,
              HasSubstr("audit.least_rate_ppm is 149999, and the rules of the ledger want 150000"));
  // Told nothing, it does what they want.
  write_file(nodes.config(lazy), config);
  nodes.start(lazy);
  nodes.wait_until_whole();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
}

TEST_F(policy_duties, a_worker_that_stakes_less_ends_and_names_the_key) {
  ASSERT_NO_FATAL_FAILURE(start({}));
  test_cluster& nodes = paid_->nodes();
  const std::size_t two = nodes.index_of("two");
  nodes.kill(two);
  ASSERT_NO_FATAL_FAILURE(replace_in(nodes.config(two), "stake = 160000000", "stake = 159999999"));
  const child_result refused = run_node("two");
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err,
              HasSubstr("ledger.stake is 159999999, and the rules of the ledger want 160000000"));
}

// Work goes to who has the stake; who comes without is told what it lacks, and is paid once it has.
TEST_F(policy_duties, a_worker_without_stake_gets_no_paid_window_and_with_it_does) {
  paid_.emplace(paid_cluster::options{});
  test_cluster& nodes = paid_->nodes();
  const std::size_t two = nodes.index_of("two");
  ASSERT_NO_FATAL_FAILURE(replace_in(nodes.config(two), "stake = 160000000\n", ""));
  nodes.start();
  ASSERT_NO_FATAL_FAILURE(wait_for_heads());
  paid_->mint("front", 500 * paid_cluster::credit);
  paid_->mint("books", 160 * paid_cluster::credit);
  paid_->mint("two", 160 * paid_cluster::credit);
  ASSERT_TRUE(nodes.wait_until([&] { return of(paid_->account("books"), "stake") > 0; }));
  cluster_shell hurried = nodes.shell({nodes.index_of("front")}, std::chrono::milliseconds{3'000});
  EXPECT_THAT(failure_text(hurried.call("run", paid_cluster::order(1, 60))),
              HasSubstr("micro-credits at stake, and serving here takes 160000000"));
  EXPECT_EQ(of(paid_->account("two"), "pending"), 0U);
  paid_->stake("two", 160 * paid_cluster::credit);
  std::string trouble;
  std::uint64_t id = 2;
  ASSERT_TRUE(nodes.wait_until([&] {
    trouble = paid_->run(id++, 60);
    return trouble.empty();
  })) << trouble;
  EXPECT_TRUE(earns("two", 49'500'000U)) << state();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(policy_duties, a_keeper_with_other_rules_than_its_ledger_does_not_start) {
  ASSERT_NO_FATAL_FAILURE(start({.keeper_computes = false}));
  test_cluster& nodes = paid_->nodes();
  nodes.kill(nodes.index_of("books"));
  const std::string config = read_file(nodes.config(nodes.index_of("books")));
  const std::string key = "policy = \"";
  const std::size_t at = config.find(key) + key.size();
  const std::filesystem::path rules = config.substr(at, config.find('"', at) - at);
  ASSERT_NO_FATAL_FAILURE(replace_in(rules, "newcomer_units = 64", "newcomer_units = 65"));
  const child_result refused = run_node("books");
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("ledger.policy: newcomer_units is 65 instead of 64"));
  ASSERT_NO_FATAL_FAILURE(replace_in(rules, "newcomer_units = 65", "newcomer_units = 64"));
  nodes.start(nodes.index_of("books"));
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
}

} // namespace
} // namespace ovir::test
