// A keeper that is behind what the others still have in their journals.
#include "ledger/group/log_part.hpp"
#include "messages/limits/raft.hpp"
#include "tests/support/ledger/group_world.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using namespace std::chrono_literals;
using test::group_world;
using test::ledger_world;
using test::memory_file;

constexpr std::uint64_t behind_t0 = ledger_world::t0;

/// Keeper 210 has the first entry; 211 has six more, and 212 signs with it.
class behind : public ::testing::Test {
protected:
  behind() {
    genesis rules = ledger_world::rules();
    rules.keepers = {ledger_world::node(210), ledger_world::node(211), ledger_world::node(212)};
    std::ranges::sort(rules.keepers);
    (void)ledger::create(file_, rules, behind_t0, {}).value();
    open();
    ahead_.emplace(ledger::create(other_file_, rules, behind_t0, {}).value());
    ledger_world says{ahead_->id()};
    for (int i = 0; i < 6; ++i) {
      const authentic_command c = says.mint(1, 5);
      EXPECT_TRUE(ahead_->commit(std::span{&c, 1}, behind_t0 + 9).value().commands[0].done);
      heads_.push_back(ahead_->head());
    }
    const authentic_command c = says.mint(9, 5'000);
    encode({behind_t0 + 9, c.what(), c.proof()}, other_);
  }
  /// As after `kill -9`: of the keeper its file is left.
  void open() {
    book_.reset();
    own_.reset();
    open_report report;
    keeper_surroundings around;
    around.key = &key_;
    own_.emplace(keeper::make(ledger::open(file_, {}, report).value(), around).value());
    book_.emplace(*own_);
  }
  static signed_head by(const log_head& head, const std::vector<std::uint8_t>& keepers) {
    signed_head all = sign(ledger_world::key(keepers.front()), head);
    for (const std::uint8_t one : keepers) {
      EXPECT_TRUE(join(all, sign(ledger_world::key(one), head).signatures[0]));
    }
    return all;
  }
  [[nodiscard]] log_part part(std::uint64_t first, std::uint64_t end) const {
    log_part p;
    p.run.first = first;
    for (std::uint64_t i = first; i < end; ++i) {
      p.run.entries.push_back(ahead_->log().entry_at(i).value());
    }
    p.run.head = by(ahead_->head(), {211, 212});
    p.path = ahead_->prove_consistency(end, ahead_->log().size()).value();
    return p;
  }
  bool takes(const log_part& p) {
    std::vector<keeper_answer> answers;
    return book_->follow(p, answers).has_value();
  }
  [[nodiscard]] std::uint64_t size() const { return own_->book().log().size(); }

  secret_key key_ = ledger_world::key(210);
  memory_file file_;
  memory_file other_file_;
  std::optional<keeper> own_;
  std::optional<joint_book> book_;
  std::optional<ledger> ahead_;
  std::vector<log_head> heads_;  ///< behind each entry
  std::vector<std::byte> other_; ///< a command that is no entry of the log
};

TEST_F(behind, takes_parts_of_what_most_signed_and_goes_on_after_a_crash) {
  EXPECT_TRUE(takes(part(1, 4)));
  EXPECT_EQ(size(), 4U);
  EXPECT_FALSE(own_->has_head()) << "the head counts once all of it is here";
  open();
  EXPECT_EQ(size(), 4U) << "nothing is fetched twice";
  EXPECT_TRUE(takes(part(2, 5))) << "what it has is left out";
  EXPECT_FALSE(takes(part(2, 5)));
  EXPECT_TRUE(takes(part(5, 7)));
  EXPECT_EQ(own_->book().head(), ahead_->head());
  EXPECT_EQ(own_->head().head, ahead_->head());
  EXPECT_EQ(own_->book().view().snapshot(), ahead_->view().snapshot());
}

TEST_F(behind, takes_nothing_of_a_forger) {
  std::vector<std::pair<std::string, log_part>> all;
  const auto forge = [&](std::string name, const auto& change, std::uint64_t end) {
    all.emplace_back(std::move(name), part(1, end));
    change(all.back().second);
  };
  for (const std::uint64_t end : {std::uint64_t{4}, std::uint64_t{7}}) {
    forge(
        "an altered entry", [](log_part& p) { p.run.entries[1][30] ^= std::byte{1}; }, end);
    forge(
        "another entry, well signed", [this](log_part& p) { p.run.entries[1] = other_; }, end);
    forge(
        "an entry more", [this](log_part& p) { p.run.entries.push_back(other_); }, end);
    forge(
        "an entry left out", [](log_part& p) { p.run.entries.erase(p.run.entries.begin() + 1); },
        end);
    forge(
        "two that changed places",
        [](log_part& p) { std::swap(p.run.entries[0], p.run.entries[1]); }, end);
    forge(
        "entries of another place", [](log_part& p) { p.run.first = 2; }, end);
    forge(
        "a head of one keeper", [this](log_part& p) { p.run.head = by(ahead_->head(), {211}); },
        end);
    forge(
        "a head of one keeper and a stranger",
        [this](log_part& p) {
          p.run.head = by(ahead_->head(), {211, 77});
        },
        end);
    forge(
        "an old head",
        [this](log_part& p) {
          p.run.head = by(heads_[1], {211, 212});
        },
        end);
    forge(
        "a root of its own", [](log_part& p) { p.run.head.head.root.bytes[0] ^= 1; }, end);
    forge(
        "a larger size", [](log_part& p) { p.run.head.head.size += 3; }, end);
    forge(
        "no entries", [](log_part& p) { p.run.entries.clear(); }, end);
  }
  forge(
      "another proof", [](log_part& p) { p.path[0].bytes[0] ^= 1; }, 4);
  forge(
      "no proof", [](log_part& p) { p.path.clear(); }, 4);
  forge(
      "the proof of another size", [this](log_part& p) { p.path = part(1, 5).path; }, 4);
  for (const auto& [name, p] : all) {
    EXPECT_FALSE(takes(p)) << name << ", of " << p.run.entries.size();
    EXPECT_EQ(size(), 1U) << name;
    EXPECT_FALSE(own_->has_head()) << name;
  }
  EXPECT_TRUE(takes(part(1, 4)));
}

/// As many entries as clients would ask for in a long time.
void fill(group_world& world, std::uint64_t count) {
  world.asks = false;
  world.run(1s);
  for (std::uint64_t done = 0; done < count;) {
    const std::size_t leads = world.leader();
    ASSERT_LT(leads, world.count());
    keeper& k = world.keeper_of(leads);
    std::vector<keeper_answer> answers;
    for (int i = 0; i < 400; ++i, ++done) {
      const command c = mint{ledger_world::node(group_world::other_minter),
                             mint_target::participant, ledger_world::node(1), 5, 1 + done};
      std::vector<std::byte> bytes;
      encode({0, c, sign_action(ledger_world::key(group_world::other_minter), world.ledger(), c)},
             bytes);
      k.take(ledger_world::node(77), {}, {1, submit{std::move(bytes), {}}}, answers);
    }
    world.run(300ms);
  }
  world.asks = true;
}

/// Until journals begin behind snapshots.
void let_journals_be_cut(group_world& world) {
  for (int i = 0; i < 200; ++i) {
    world.run(500ms);
    const std::size_t leads = world.leader();
    if (leads < world.count() &&
        world.group_of(leads).report().agreed >= 3 * limits::raft_snapshot_every) {
      return;
    }
  }
  FAIL() << "too little is agreed on";
}

TEST(keeper_group, journals_are_cut_behind_what_most_signed_and_do_not_grow) {
  for (const std::uint8_t keepers : {std::uint8_t{3}, std::uint8_t{5}}) {
    group_world world{11, keepers};
    let_journals_be_cut(world);
    ASSERT_EQ(world.broken(), "");
    for (std::size_t i = 0; i < world.count(); ++i) {
      const group_report seen = world.group_of(i).report();
      EXPECT_GE(seen.agreed + 8, 3 * limits::raft_snapshot_every) << i;
      EXPECT_LE(seen.kept, limits::raft_entries_kept + limits::raft_snapshot_every + 64) << i;
    }
    EXPECT_TRUE(world.comes_to_rest()) << world.broken();
  }
}

TEST(keeper_group, one_with_an_empty_disk_joins_behind_a_snapshot_and_serves) {
  group_world world{12, 3};
  let_journals_be_cut(world);
  fill(world, 1'600);
  const std::size_t away = (world.leader() + 1) % 3;
  world.lose_disk(away);
  world.run(1s);
  ASSERT_TRUE(world.comes_to_rest()) << world.broken();
  EXPECT_GT(world.keeper_of(away).book().log().size(), 1'600U);
  world.run(2s);
  EXPECT_FALSE(world.group_of(away).report().recovering);
  EXPECT_LT(world.group_of(away).report().kept, world.group_of(away).report().agreed)
      << "it began with a snapshot";
  world.stop((away + 1) % 3);
  const std::size_t before = world.promised();
  world.run(4s);
  EXPECT_GT(world.promised(), before + 20) << "the other needs it";
  EXPECT_EQ(world.broken(), "");
}

TEST(keeper_group, one_that_is_killed_while_it_catches_up_loses_nothing) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    group_world world{seed, 3};
    world.weather = {3, 5, 30};
    let_journals_be_cut(world);
    fill(world, 2'000);
    const std::size_t away = (world.leader() + 1) % 3;
    world.lose_disk(away);
    std::uint64_t least = 0;
    for (int kills = 0; kills < 12; ++kills) {
      world.start(away);
      world.run(raft::milliseconds{20 + world.chance() % 400});
      const std::uint64_t size = world.keeper_of(away).book().log().size();
      EXPECT_GE(size, least) << "seed " << seed << ": what was taken lasts";
      least = size;
      world.stop(away);
    }
    ASSERT_TRUE(world.comes_to_rest()) << "seed " << seed << ": " << world.broken();
    EXPECT_GT(world.keeper_of(away).book().log().size(), 2'000U);
  }
}

/// A snapshot of Raft's own is a head. What a forger says of one changes nothing.
TEST(keeper_group, takes_no_snapshot_of_a_forger) {
  group_world world{13, 3};
  world.run(3s);
  world.asks = false;
  world.run(1s);
  const std::size_t liar = world.leader();
  ASSERT_LT(liar, world.count());
  const std::size_t other = (liar + 1) % 3;
  const group_report before = world.group_of(other).report();
  const log_head true_head = world.keeper_of(liar).head().head;
  const auto says = [&](const signed_head& head) {
    const raft::letter letter =
        raft::install_snapshot{before.term, {before.agreed + 1'000, before.term, to_bytes(head)}};
    std::vector<std::byte> word{std::byte{1}};
    const std::vector<std::byte> bytes = raft::to_bytes(letter);
    word.insert(word.end(), bytes.begin(), bytes.end());
    world.say(liar, other, std::move(word));
    world.run(200ms);
    EXPECT_LT(world.group_of(other).report().agreed, before.agreed + 1'000);
  };
  says(sign(world.key_of(liar), true_head)); // alone
  signed_head altered = world.keeper_of(liar).head();
  altered.head.size += 5;
  says(altered);
  altered = world.keeper_of(liar).head();
  altered.head.root.bytes[0] ^= 1;
  says(altered);
  log_head beyond = true_head; // of a log that is not there
  beyond.size += 5;
  beyond.root.bytes[0] ^= 1;
  signed_head most = sign(world.key_of(liar), beyond);
  ASSERT_TRUE(join(most, sign(world.key_of((liar + 2) % 3), beyond).signatures[0]));
  says(most);
  world.asks = true;
}

} // namespace
} // namespace ovir::ledger
