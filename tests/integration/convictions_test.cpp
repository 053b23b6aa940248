// Who lied in a request that was paid for, on clusters of processes: convicted in the ledger by
// those who computed it again or by two of its own statements, whatever becomes of the ledger's
// node meanwhile.
#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <thread>

namespace ovir::test {
namespace {

using apps::json;
namespace fs = std::filesystem;

constexpr std::uint64_t credit = paid_cluster::credit;

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

class liars : public paid_requests, public ::testing::WithParamInterface<std::string> {
protected:
  [[nodiscard]] bool bonded() const { return GetParam() == "bonded"; }

  /// What convicts `name`: its own statements, and others by its key in which a unit of the last
  /// window differs.
  [[nodiscard]] std::vector<std::byte> lie_of(const std::string& name, const receipt& r) {
    const secret_key liar = paid_->secret_of(name);
    EXPECT_EQ(r.stages.at(1).signer.node, liar.id());
    ledger::equivocation lie{terms_of(r.asked), r.stages[1], r.stages[1]};
    statement& other = lie.second.statements.back();
    other.units[1].bytes[5] ^= 1;
    other.proof = sign_statement(liar, bind_statements(lie.terms, lie.second).back().to_sign);
    return ledger::to_bytes(lie);
  }
};

// Three processes. "two" signs two results of one input: who holds both, convicts it.
TEST_P(liars, are_convicted_the_consumer_is_refunded_and_the_honest_are_paid) {
  ASSERT_NO_FATAL_FAILURE(start({.mode = GetParam()}));
  paid_->mint("front", 100 * credit);
  if (bonded()) {
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
  const json done = paid_->nodes().ask(paid_->nodes().index_of("front"),
                                       "ledger convict " + hex_of(lie_of("two", r)));
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
  if (bonded()) { // a tenth of what is left of the stake goes to who found it: this consumer
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
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger({"two"}));
  EXPECT_EQ(of(paid_->account("books"), "pending"), earned);
  EXPECT_EQ(paid_->account("two"), two) << "a killed keeper forgets nothing";
  EXPECT_EQ(paid_->verify().at("ok"), true);
}

/// When the ledger's node is killed, after a conviction was sent to it.
struct kill_moment {
  const char* what;
  /// True: now. Asked again and again until then, or until the conviction is promised.
  std::function<bool()> come;
};

class killed_keepers : public liars {
protected:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t rounds = 6;

  /// One who may lie in each round.
  static std::vector<std::string> second_half() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < rounds; ++i) {
      names.push_back(fmt::format("second-{}", i));
    }
    return names;
  }

  void begin() {
    ASSERT_NO_FATAL_FAILURE(start({.mode = GetParam(), .second_half = second_half()}));
    paid_->mint("front", rounds * 200 * credit);
    if (bonded()) {
      for (const std::string& name : second_half()) {
        paid_->mint(name, 300 * credit);
        paid_->stake(name, 300 * credit);
      }
    } else {
      paid_->mint("assurance", 100 * credit);
    }
  }

  [[nodiscard]] std::string name_of(const node_id& key) const {
    for (const std::string& name : second_half()) {
      if (paid_->secret_of(name).id() == key) {
        return name;
      }
    }
    return {};
  }

  /// What everybody has; who is who differs from run to run.
  [[nodiscard]] json standing(const std::string& guilty) {
    json all;
    for (const auto& [role, name] : std::vector<std::pair<std::string, std::string>>{
             {"front", "front"}, {"books", "books"}, {"guilty", guilty}}) {
      const json account = paid_->account(name);
      for (const char* const key :
           {"free", "pending", "stake", "leaving", "earned", "nonce", "ejected"}) {
        all[role][key] = account.at(key);
      }
    }
    return all;
  }

  /// A request, who computed its second half, and what convicts it.
  struct lie {
    std::string guilty;
    std::vector<std::byte> evidence;
  };
  [[nodiscard]] lie lied_request(std::size_t round) {
    const std::uint64_t pending = of(paid_->account("books"), "pending");
    json answer;
    EXPECT_EQ(paid_->run(round + 1, 60, &answer), "") << state();
    EXPECT_TRUE(earns("books", pending + 49'500'000U)) << state();
    const receipt r = receipt_in(answer);
    split_ = r.stages.size() > 2; // two of them share the second half, and what is paid for it
    if (split_) {
      return {};
    }
    const std::string guilty = name_of(r.stages.at(1).signer.node);
    EXPECT_TRUE(earns(guilty, 49'500'000U)) << state();
    return {guilty, lie_of(guilty, r)};
  }

  static std::string line_of(const lie& said) { return "ledger convict " + hex_of(said.evidence); }

  /// From now on, one for each round.
  [[nodiscard]] std::vector<kill_moment> moments_of(const lie& said, clock::duration after) const {
    const fs::path folder = paid_->ledger_folder();
    const auto written = [](const fs::path& file) {
      std::error_code none;
      return fs::last_write_time(file, none);
    };
    const auto log_then = written(folder / "log");
    const auto head_then = written(folder / "head");
    const auto sent = clock::now();
    return {{"when the evidence is kept",
             [=] {
               return fs::exists(folder / "evidence" /
                                 to_hex(ledger::evidence_digest(said.evidence)));
             }},
            {"when the log is written", [=] { return written(folder / "log") != log_then; }},
            {"when the head is kept", [=] { return written(folder / "head") != head_then; }},
            {"before anything", [] { return true; }},
            {"at a moment of the seed", [=] { return clock::now() - sent >= after; }},
            {"at a moment of the seed", [=] { return clock::now() - sent >= after; }}};
  }

  /// Rounds without a kill and with one each, which come to the same.
  void compare();

  /// Hands the conviction in and kills the keeper meanwhile.
  void disturb(std::size_t round, const lie& said, clock::duration after) {
    test_cluster& nodes = paid_->nodes();
    const std::size_t books = nodes.index_of("books");
    const kill_moment moment = moments_of(said, after).at(round);
    const std::string line = line_of(said);
    std::atomic<bool> answered{false};
    std::thread shell{[&] {
      try {
        (void)nodes.ask(nodes.index_of("front"), line);
        answered.store(true);
      } catch (const std::runtime_error&) {
        answered.store(false); // too late, or the keeper was away too long: asked again below
      }
    }};
    while (!moment.come() && !answered.load()) {
      std::this_thread::yield();
    }
    nodes.kill(books);
    const bool in_time = !answered.load();
    const json left = paid_->verify();
    EXPECT_EQ(left.at("ok"), true) << "as it was left, killed " << moment.what;
    std::printf("killed %s: %s, %s\n", moment.what, in_time ? "not promised" : "promised",
                left.at("convictions") == round + 1 ? "convicted" : "not convicted");
    nodes.start(books);
    shell.join();
  }

  bool split_{false};
};

void killed_keepers::compare() {
  std::vector<json> undisturbed;
  clock::duration slowest{};
  ASSERT_NO_FATAL_FAILURE(begin());
  for (std::size_t round = 0; round < rounds; ++round) {
    const lie said = lied_request(round);
    ASSERT_FALSE(HasFailure());
    if (split_) {
      return;
    }
    const auto before = clock::now();
    (void)paid_->nodes().ask(paid_->nodes().index_of("front"), line_of(said));
    slowest = std::max(slowest, clock::now() - before);
    undisturbed.push_back(standing(said.guilty));
  }
  EXPECT_EQ(paid_->verify().at("convictions"), rounds);

  const char* const given = std::getenv("OVIR_SEED");
  std::mt19937_64 random{given == nullptr ? 1 : std::strtoull(given, nullptr, 10)};
  paid_.reset();
  ASSERT_NO_FATAL_FAILURE(begin());
  test_cluster& nodes = paid_->nodes();
  std::set<std::string> convicted;
  for (std::size_t round = 0; round < rounds; ++round) {
    const lie said = lied_request(round);
    ASSERT_FALSE(HasFailure());
    if (split_) {
      return;
    }
    disturb(round, said, slowest * static_cast<long>(random() % 1'000) / 1'000);
    convicted.insert(said.guilty);
    ASSERT_NO_FATAL_FAILURE(wait_for_ledger(convicted));
    ASSERT_TRUE(nodes.wait_until([&] {
      if (paid_->account(said.guilty).at("ejected") == true) {
        return true;
      }
      try {
        (void)nodes.ask(nodes.index_of("front"), line_of(said));
      } catch (const std::runtime_error&) {
        return false;
      }
      return true;
    })) << state();
    EXPECT_EQ(standing(said.guilty), undisturbed.at(round)) << "round " << round;
  }
  const json end = paid_->verify();
  EXPECT_EQ(end.at("ok"), true);
  EXPECT_EQ(end.at("convictions"), rounds);
  EXPECT_EQ(end.at("evidence_replayed"), rounds);
}

TEST_P(killed_keepers, in_the_middle_of_a_conviction_change_nothing) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    ASSERT_NO_FATAL_FAILURE(compare());
    if (!split_) {
      return;
    }
    paid_.reset();
  }
  FAIL() << "each time two nodes shared the second half";
}

// Nobody hands anything in: "two" computes something else than it should, two verifiers find it,
// and vouch for it to the ledger, whose node dies as soon as one of them convicted.
TEST_P(liars, are_convicted_by_verifiers_although_the_keeper_dies_meanwhile) {
  ASSERT_NO_FATAL_FAILURE(start({.mode = GetParam(), .liar = OVIR_LIAR_PROGRAM}));
  test_cluster& nodes = paid_->nodes();
  paid_->mint("front", 100 * credit);
  if (bonded()) {
    paid_->mint("two", 300 * credit);
    paid_->stake("two", 300 * credit);
  } else {
    paid_->mint("assurance", 100 * credit);
  }
  json answer; // none where its client was told that what it heard was wrong
  (void)paid_->run(1, 60, &answer);
  const std::size_t front = nodes.index_of("front");
  const std::size_t books = nodes.index_of("books");
  ASSERT_TRUE(nodes.wait_until([&] {
    return !nodes.ask(front, "audits").at("convictions").empty();
  })) << state();
  nodes.kill(books);
  EXPECT_EQ(paid_->verify().at("ok"), true);
  nodes.start(books);
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger({"two"}));
  ASSERT_TRUE(nodes.wait_until([&] { return paid_->account("two").at("ejected") == true; },
                               std::chrono::seconds{60}))
      << state();
  const json two = paid_->account("two");
  EXPECT_EQ(of(two, "free") + of(two, "pending") + of(two, "stake"), 0U);
  // All it had a part in is refunded; the finder, one of the verifiers, gets its part of the stake.
  ASSERT_TRUE(nodes.wait_until([&] { return of(paid_->account("front"), "free") >= 100 * credit; }))
      << state();
  const std::uint64_t honest = of(paid_->account("books"), "pending");
  EXPECT_GT(honest, 0U) << "who was honest is paid all the same\n" << state();
  if (answer.contains("tokens")) { // wrong ones may end the answer early
    EXPECT_EQ(honest, (answer.at("tokens").size() + paid_cluster::prompt) * credit * 99 / 200);
  }
  const std::uint64_t found =
      of(paid_->account("front"), "free") + of(paid_->account("check"), "free") - 100 * credit;
  EXPECT_EQ(found, bonded() ? ((160 + 300) * credit - honest) / 10 : 0U) << state();
  const json end = paid_->verify();
  EXPECT_EQ(end.at("ok"), true);
  EXPECT_EQ(end.at("convictions"), 1U);
}

INSTANTIATE_TEST_SUITE_P(in_mode, liars, ::testing::Values("bonded", "zero-bond"),
                         [](const auto& mode) {
                           return mode.param == "bonded" ? "bonded" : "zero_bond";
                         });
INSTANTIATE_TEST_SUITE_P(in_mode, killed_keepers, ::testing::Values("bonded", "zero-bond"),
                         [](const auto& mode) {
                           return mode.param == "bonded" ? "bonded" : "zero_bond";
                         });

} // namespace
} // namespace ovir::test
