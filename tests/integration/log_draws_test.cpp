// Audits as the ledger's log draws them, on a cluster of processes: verifiers publish links, look
// at what is drawn for them and say so in the log; anybody recomputes it from a copy.
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

class log_draws : public paid_requests {
protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(start({.mode = "free",
                                   .keeper_computes = false,
                                   .follow = true,
                                   .verifiers = {"first", "second"},
                                   .more_rules = "epoch_s = 2\n"}));
  }
  /// As a stranger recomputes it from a follower's copy of the log.
  [[nodiscard]] apps::json draw() {
    const std::size_t front = paid_->nodes().index_of("front");
    const std::filesystem::path copy = paid_->nodes().state(front) / "ledger-copy" / "log";
    const child_result child = run_ovir_verify({"--draw", copy.string(), "--json"});
    EXPECT_EQ(child.exit_code, 0) << child.err;
    return apps::json::parse(child.out);
  }
  /// Of one verifier: "drawn", "audited", "missing", "links_overdue".
  [[nodiscard]] std::uint64_t count(const apps::json& drawn, const std::string& name,
                                    const char* what) {
    for (const apps::json& v : drawn.at("verifiers")) {
      if (v.at("verifier") == paid_->key_of(name)) {
        return v.at(what);
      }
    }
    return 0;
  }
  /// Asks until the log says what is wanted.
  [[nodiscard]] testing::AssertionResult
  ask_until(const std::function<bool(const apps::json&)>& wanted) {
    apps::json seen;
    const bool done = paid_->nodes().wait_until([&] {
      EXPECT_EQ(paid_->run(++asked_, 40), "");
      seen = draw();
      return wanted(seen);
    });
    return done ? testing::AssertionSuccess()
                : testing::AssertionFailure() << seen.at("verifiers").dump() << "\n"
                                              << paid_->nodes().last_words();
  }

  std::uint64_t asked_{0};
};

TEST_F(log_draws, verifiers_look_at_what_is_drawn_for_them_and_say_so) {
  EXPECT_TRUE(ask_until([&](const apps::json& d) {
    return count(d, "first", "audited") >= 4 && count(d, "second", "audited") >= 4;
  }));
  // What was drawn is looked at, all of it, once nothing new comes.
  EXPECT_TRUE(paid_->nodes().wait_until([&] {
    const apps::json d = draw();
    return count(d, "first", "missing") == 0 && count(d, "second", "missing") == 0;
  })) << draw().dump();
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

TEST_F(log_draws, one_that_is_silent_is_named_and_another_looks_in_its_place) {
  EXPECT_TRUE(ask_until([&](const apps::json& d) { return count(d, "second", "audited") > 0; }));
  paid_->nodes().kill(paid_->nodes().index_of("second"));
  const std::uint64_t before = count(draw(), "first", "audited");
  EXPECT_TRUE(ask_until([&](const apps::json& d) {
    return count(d, "second", "links_overdue") >= 2 + count(d, "first", "links_overdue") &&
           count(d, "first", "audited") > before;
  }));
  // It comes back with the chain that it committed to, and goes on.
  paid_->nodes().start(paid_->nodes().index_of("second"));
  paid_->nodes().wait_until_whole();
  const std::uint64_t then = count(draw(), "second", "audited");
  EXPECT_TRUE(ask_until([&](const apps::json& d) { return count(d, "second", "audited") > then; }));
}

} // namespace
} // namespace ovir::test
