#include "messages/limits/raft.hpp"
#include "tests/support/ledger/raft_world.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;

/// So many schedules: OVIR_RAFT_RUNS, else a few.
std::uint64_t runs() {
  const char* const wanted = std::getenv("OVIR_RAFT_RUNS"); // NOLINT(concurrency-mt-unsafe)
  return wanted == nullptr ? 60 : std::strtoull(wanted, nullptr, 10);
}

std::uint8_t any_server(raft_world& world) {
  return static_cast<std::uint8_t>(1 + world.chance() % world.count());
}

/// More than half of the others are sound, and none lost its disk before.
bool may_lose_disk(raft_world& world) {
  for (std::uint8_t n = 1; n <= world.count(); ++n) {
    if (!world.is_up(n) || world.replica_of(n).is_recovering()) {
      return false;
    }
  }
  return true;
}

void one_trouble(raft_world& world) {
  const std::uint8_t who = any_server(world);
  switch (world.chance() % 14) {
  case 0:
  case 1: return world.stop(who);
  case 2: return world.is_up(who) ? world.fail_disk(who, world.chance() % 40) : void();
  case 12: return world.is_up(who) ? world.fail_disk(who, world.chance() % 3) : void();
  case 3: return world.cut_link(who, any_server(world));
  case 4: return world.heal_links();
  case 5:
    world.weather = {static_cast<unsigned>(world.chance() % 30),
                     static_cast<unsigned>(world.chance() % 20),
                     static_cast<unsigned>(1 + world.chance() % 400)};
    return;
  case 6: world.weather = {}; return;
  case 7:
    if (world.leader() != 0) { // alone with what it writes
      const std::uint8_t alone = world.leader();
      for (std::uint8_t n = 1; n <= world.count(); ++n) {
        world.cut_link(alone, n);
      }
    }
    return;
  case 8: return may_lose_disk(world) && world.chance() % 3 == 0 ? world.lose_disk(who) : void();
  default:
    for (std::uint8_t n = 1; n <= world.count(); ++n) {
      world.start(n);
    }
  }
}

/// Enough for snapshots, and for more than a letter holds.
void propose_much(raft_world& world) {
  for (std::uint64_t n = 200 + world.chance() % 300; n > 0; --n) {
    static_cast<void>(world.propose());
    world.run(raft::milliseconds{world.chance() % 8 == 0 ? 10 : 0});
  }
}

void storm(std::uint64_t seed) {
  raft_world world{seed, static_cast<std::uint8_t>(seed % 3 == 0 ? 5 : 3)};
  for (int i = 0; i < 60 && world.broken().empty(); ++i) {
    one_trouble(world);
    if (seed % 4 == 0 && world.chance() % 8 == 0) {
      propose_much(world);
    }
    for (std::uint64_t n = world.chance() % 20; n > 0; --n) {
      world.propose_at(any_server(world));
      world.run(raft::milliseconds{10 * (world.chance() % 4)});
    }
    world.run(raft::milliseconds{world.chance() % 800});
  }
  ASSERT_EQ(world.broken(), "") << "seed " << seed;
  ASSERT_TRUE(world.comes_to_rest()) << "seed " << seed << ": " << world.broken();
  ASSERT_GT(world.acknowledged(), 0U) << "seed " << seed;
}

TEST(raft, servers_agree_whatever_fails) {
  const std::uint64_t first = 1'000;
  for (std::uint64_t seed = first; seed < first + runs() && !HasFatalFailure(); ++seed) {
    storm(seed);
  }
}

TEST(raft, another_leads_when_the_leader_is_gone) {
  raft_world world{1, 3};
  world.run(2s);
  for (int i = 0; i < 10; ++i) {
    const std::uint8_t led = world.leader();
    ASSERT_NE(led, 0);
    ASSERT_TRUE(world.propose());
    world.run(200ms);
    world.stop(led);
    world.run(2s);
    ASSERT_NE(world.leader(), led);
    ASSERT_NE(world.leader(), 0);
    world.start(led);
  }
  EXPECT_EQ(world.acknowledged(), 10U);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(raft, two_of_three_cut_off_agree_on_nothing) {
  raft_world world{2, 3};
  world.run(2s);
  const std::uint8_t led = world.leader();
  for (std::uint8_t n = 1; n <= 3; ++n) {
    world.cut_link(led, n);
  }
  const std::size_t before = world.acknowledged();
  static_cast<void>(world.propose_at(led));
  world.run(2s);
  EXPECT_EQ(world.acknowledged(), before);
  EXPECT_NE(world.leader(), led);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

void cut_all(raft_world& world) {
  for (std::uint8_t a = 1; a <= world.count(); ++a) {
    for (std::uint8_t b = 1; b < a; ++b) {
      world.cut_link(a, b);
    }
  }
}

raft::entry command_of(std::uint64_t term, std::uint8_t name) {
  return {term, raft::entry_kind::command, {std::byte{name}}};
}

TEST(raft, an_entry_of_an_earlier_term_is_agreed_on_with_one_of_the_leaders_own) {
  raft_world world{5, 3};
  cut_all(world);
  const auto tell = [&world](std::uint8_t from, raft::append_entries m) {
    world.forge(from, 2, std::move(m));
    world.run(10ms);
    EXPECT_EQ(world.broken(), "");
  };
  tell(1, {5, 1, 1, 1, {command_of(5, 0xa)}});
  tell(3, {6, 2, 5, 2, {}}); // what C-Raft counts, and its leader tells
  EXPECT_EQ(world.agreed_at(2), 0U);
  tell(1, {7, 1, 1, 1, {command_of(7, 0xb)}}); // it may be replaced
  EXPECT_EQ(world.agreed_at(2), 0U);
  tell(1, {7, 2, 7, 2, {}});
  EXPECT_EQ(world.agreed_at(2), 1U);
  tell(3, {8, 2, 7, 2, {command_of(8, 0xc)}});
  tell(1, {9, 3, 8, 4, {command_of(9, 0xd)}}); // and what was before
  EXPECT_EQ(world.agreed_at(2), 3U);
}

TEST(raft, what_was_not_compared_with_the_leaders_log_is_not_agreed_on) {
  raft_world world{6, 3};
  cut_all(world);
  world.forge(1, 2, raft::append_entries{5, 1, 1, 1, {command_of(5, 0xa), command_of(5, 0xb)}});
  world.run(10ms);
  // The same leader, before it had the second entry and after it was agreed on, by a late letter.
  world.forge(1, 2, raft::append_entries{5, 1, 1, 3, {command_of(5, 0xa)}});
  world.run(10ms);
  EXPECT_EQ(world.agreed_at(2), 1U);
  EXPECT_EQ(world.broken(), "");
}

TEST(raft, what_a_server_does_not_take_holds_up_nothing_before_it) {
  raft_world world{8, 3};
  cut_all(world);
  const raft::entry refused = command_of(5, 0xb);
  world.refuses = [&](const raft::entry& e) { return e == refused; };
  const auto tell = [&world](std::uint64_t before, std::uint64_t term, std::uint64_t commit,
                             std::vector<raft::entry> entries) {
    world.forge(1, 2, raft::append_entries{5, before, term, commit, std::move(entries)});
    world.run(10ms);
  };
  tell(1, 1, 1, {command_of(5, 0xa), refused, command_of(5, 0xc)});
  EXPECT_EQ(world.replica_of(2).last_index(), 2U);
  tell(2, 5, 2, {});
  EXPECT_EQ(world.agreed_at(2), 1U);
  tell(2, 5, 2, {refused, command_of(5, 0xc)});
  EXPECT_EQ(world.replica_of(2).last_index(), 2U);
  EXPECT_EQ(world.broken(), "");
}

TEST(raft, an_old_letter_changes_nothing_that_was_agreed_on) {
  raft_world world{7, 3};
  world.run(2s);
  while (world.acknowledged() < limits::raft_snapshot_every + 20) {
    static_cast<void>(world.propose());
    world.run(20ms);
  }
  const std::uint8_t led = world.leader();
  const auto other = static_cast<std::uint8_t>(led == 1 ? 2 : 1);
  const std::uint64_t term = world.replica_of(led).term();
  const std::uint64_t last = world.replica_of(other).last_index();
  ASSERT_GT(world.disk_of(other).files.rbegin()->first, 1U) << "it has all entries still";
  world.forge(led, other,
              raft::append_entries{
                  term, 0, 0, 1, {{1, raft::entry_kind::servers, {}}, command_of(1, 0xa)}});
  world.run(20ms);
  EXPECT_EQ(world.replica_of(other).last_index(), last);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(raft, a_server_that_was_away_for_long_gets_a_snapshot) {
  raft_world world{3, 3};
  world.run(2s);
  const auto away = static_cast<std::uint8_t>(world.leader() == 1 ? 2 : 1);
  world.stop(away);
  while (world.acknowledged() < 3 * limits::raft_snapshot_every) {
    static_cast<void>(world.propose());
    world.run(20ms);
    ASSERT_EQ(world.broken(), "");
  }
  world.start(away);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
  EXPECT_GT(world.snapshots_restored(), 0U);
}

TEST(raft, a_server_that_lost_its_disk_votes_only_when_it_has_what_was_agreed) {
  raft_world world{4, 3};
  world.run(2s);
  const std::uint8_t led = world.leader();
  const auto lost = static_cast<std::uint8_t>(led == 1 ? 2 : 1);
  const auto other = static_cast<std::uint8_t>(6 - led - lost);
  // What follows is agreed with the help of the one that loses its disk.
  world.stop(other);
  ASSERT_TRUE(world.propose());
  world.run(1s);
  ASSERT_EQ(world.acknowledged(), 1U);
  world.stop(led);
  world.lose_disk(lost);
  world.start(lost);
  world.start(other);
  world.run(10s);
  EXPECT_EQ(world.leader(), 0) << "two elected one of them, and neither has what was agreed";
  world.start(led);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
  EXPECT_EQ(world.agreed_at(lost), world.agreed_at(led));
}

/// Any letter, sound or not, with numbers near those in use or far away.
raft::letter any_letter(raft_world& world, const raft::replica& near) {
  auto& chance = world.chance;
  const auto number = [&](std::uint64_t about) {
    switch (chance() % 6) {
    case 0: return std::uint64_t{0};
    case 1: return chance() % (limits::raft_term_max + 1);
    case 2: return about;
    default: return about + chance() % 5 - std::min<std::uint64_t>(about, 2);
    }
  };
  const std::uint64_t term = number(near.term());
  const std::uint64_t last = number(near.last_index());
  switch (chance() % 7) {
  case 0: {
    raft::append_entries m{term, last, number(near.term()), number(near.last_agreed()), {}};
    for (std::uint64_t n = chance() % 4; n > 0; --n) {
      m.entries.push_back({number(near.term()), static_cast<raft::entry_kind>(1 + chance() % 3),
                           std::vector<std::byte>(chance() % 20)});
    }
    return m;
  }
  case 1: return raft::appended{term, chance() % 2 == 0 ? 0 : last, number(near.last_index())};
  case 2: return raft::vote_request{term, last, number(near.term()), chance() % 2 == 0};
  case 3: return raft::vote_answer{term, chance() % 2 == 0, chance() % 2 == 0};
  case 4: return raft::install_snapshot{term, {last, number(near.term()), {}}};
  case 5: return raft::ask_standing{chance()};
  default: return raft::standing{chance(), term, last, number(near.term())};
  }
}

/// Raft does not promise to agree beside a liar: it may lead, or tell of entries that it lacks. No
/// server may crash, and the rest goes on where the lies end.
TEST(raft, letters_of_a_liar_crash_no_server) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    raft_world world{seed, 3};
    world.run(1s);
    for (int i = 0; i < 600 && world.broken().empty(); ++i) {
      if (i % 100 == 0) { // without a leader as well
        i % 200 == 0 ? world.heal_links() : cut_all(world);
      }
      const std::uint8_t to = any_server(world);
      const auto from = static_cast<std::uint8_t>(1 + world.chance() % 4);
      if (world.is_up(to)) {
        const raft::letter what = any_letter(world, world.replica_of(to));
        if (raft::letter_from(raft::to_bytes(what))) {
          world.forge(from, to, what);
        }
      }
      static_cast<void>(world.propose_at(any_server(world)));
      world.run(raft::milliseconds{10});
    }
  }
}

} // namespace
} // namespace ovir::test
