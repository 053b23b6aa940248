// Audits as the ledger's log draws them, on a cluster of processes: verifiers publish links, look
// at what is drawn for them and say so in the log; anybody recomputes it from a copy.
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;

/// How long verifiers get twice what they can do: OVIR_OVERLOAD_SECONDS, else a few seconds.
std::chrono::seconds overload_lasts() {
  const char* const wanted = std::getenv("OVIR_OVERLOAD_SECONDS"); // NOLINT(concurrency-mt-unsafe)
  return std::chrono::seconds{wanted == nullptr ? 8 : std::stoi(wanted)};
}

class log_draws : public paid_requests {
protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(start({.mode = "free",
                                   .keeper_computes = false,
                                   .follow = true,
                                   .verifiers = {"first", "second"},
                                   .more_rules = rules()}));
  }
  /// In a short time more is to be looked at.
  [[nodiscard]] static std::string rules() {
    const bool is_short = overload_lasts() < 60s;
    return std::string{"epoch_s = 2\n"} +
           (is_short ? "[deterrence]\naudit_rate_ppm = 300000\n" : "");
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
  [[nodiscard]] std::uint64_t sum(const apps::json& drawn, const char* what) {
    return count(drawn, "first", what) + count(drawn, "second", what);
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

  /// All of them work for so long, and then stand still.
  void work_and_stand(const std::vector<std::size_t>& who, std::chrono::milliseconds working,
                      std::chrono::milliseconds standing) {
    test_cluster& nodes = paid_->nodes();
    for (const std::size_t one : who) {
      nodes.thaw(one);
    }
    (void)nodes.wait_until([] { return false; }, working);
    for (const std::size_t one : who) {
      nodes.freeze(one);
    }
    (void)nodes.wait_until([] { return false; }, standing);
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

// Both verifiers stand still whenever they have done half of what was drawn, so they can do half of
// it. Their scheduler is killed meanwhile: what it held for them it still has.
TEST_F(log_draws, of_twice_what_verifiers_can_do_nothing_is_forgotten) {
  test_cluster& nodes = paid_->nodes();
  const std::vector<std::size_t> verifiers{nodes.index_of("first"), nodes.index_of("second")};
  const std::size_t front = nodes.index_of("front");
  EXPECT_TRUE(ask_until([&](const apps::json& d) { return sum(d, "audited") > 0; }));
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> next{asked_};
  std::atomic<std::uint64_t> answered{0};
  std::atomic<bool> paused{false};
  std::atomic<int> running{0};
  const auto keep_asking = [&] {
    while (!over) {
      ++running;
      if (!paused) {
        answered += paid_->run(++next, 200).empty() ? 1 : 0;
      }
      --running;
      paused.wait(true);
    }
  };
  std::vector<std::jthread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(keep_asking);
  }
  const auto begun = std::chrono::steady_clock::now();
  bool killed = false;
  apps::json seen;
  const auto behind = [&] { return 2 * sum(seen, "audited") < sum(seen, "drawn"); };
  // However slow the clients are: until the verifiers are far behind.
  while (true) {
    seen = draw();
    const auto lasted = std::chrono::steady_clock::now() - begun;
    if (lasted > overload_lasts() && (behind() || lasted > 6 * overload_lasts())) {
      break;
    }
    work_and_stand(verifiers, behind() ? 300ms : 20ms, behind() ? 200ms : 1s);
    // Two to three times what they can do: they catch up in about the time that the load takes.
    const bool enough = sum(seen, "drawn") > 3 * sum(seen, "audited") + 100;
    paused = enough;
    paused.notify_all();
    if (!killed && std::chrono::steady_clock::now() - begun > overload_lasts() / 2) {
      // Between requests: what the stages of one that it drives have stated is lost with it.
      killed = true;
      paused = true;
      EXPECT_TRUE(nodes.wait_until([&] { return running == 0; }));
      nodes.kill(front);
      nodes.start(front);
      paused = false;
      paused.notify_all();
    }
  }
  over = true;
  paused = false;
  paused.notify_all();
  clients.clear();
  seen = draw();
  for (const std::size_t v : verifiers) {
    nodes.thaw(v);
  }
  const std::uint64_t late = sum(seen, "missing");
  EXPECT_GT(late, sum(seen, "drawn") / 4) << "they could do it: " << seen.at("verifiers").dump();
  EXPECT_GT(answered, 0U);
  // A verifier computes limits::audit_positions_per_minute for one scheduler.
  EXPECT_TRUE(nodes.wait_until([&] { return sum(seen = draw(), "missing") == 0; },
                               std::chrono::seconds{120} + 4 * overload_lasts()))
      << seen.at("verifiers").dump() << "\n"
      << nodes.last_words();
  std::cout << fmt::format("{} requests; {} units were drawn, {} of them late; {} were audited\n",
                           answered.load(), sum(seen, "drawn"), late, sum(seen, "audited"));
}

} // namespace
} // namespace ovir::test
