// Keepers of one ledger: what was promised lasts, whatever happens to fewer than half of them.
#include "tests/support/ledger/group_world.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace ovir::ledger {
namespace {

using namespace std::chrono_literals;
using test::group_world;

std::uint64_t schedules() {
  const char* const wanted = std::getenv("OVIR_KEEPERS_RUNS"); // NOLINT(concurrency-mt-unsafe)
  return wanted == nullptr ? 12 : std::strtoull(wanted, nullptr, 10);
}

TEST(keeper_group, three_keepers_promise_what_most_of_them_signed) {
  group_world world{1, 3};
  world.run(3s);
  EXPECT_EQ(world.broken(), "");
  EXPECT_GT(world.promised(), 40U);
  for (std::size_t i = 0; i < world.count(); ++i) {
    ASSERT_TRUE(world.keeper_of(i).has_head());
    EXPECT_TRUE(signed_by_majority(world.keeper_of(i).head(),
                                   world.keeper_of(i).book().view().origin().keepers));
  }
  ASSERT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(keeper_group, the_death_of_its_leader_costs_no_promise) {
  group_world world{2, 3};
  for (int i = 0; i < 5; ++i) {
    world.run(2s);
    const std::size_t leader = world.leader();
    ASSERT_LT(leader, world.count());
    const std::size_t before = world.promised();
    world.stop(leader);
    world.run(2s);
    EXPECT_GT(world.promised(), before) << "the others go on";
    world.start(leader);
  }
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(keeper_group, one_that_was_cut_off_while_it_led_leads_again) {
  group_world world{6, 3};
  world.run(2s);
  std::set<std::size_t> led;
  for (int i = 0; i < 12; ++i) {
    const std::size_t leader = world.leader();
    ASSERT_LT(leader, world.count());
    led.insert(leader);
    world.cut_link(leader, (leader + 1) % 3);
    world.cut_link(leader, (leader + 2) % 3);
    world.run(3s);
    world.heal_links();
    const std::size_t before = world.promised();
    world.run(2s);
    EXPECT_GT(world.promised(), before + 10) << i;
  }
  EXPECT_GT(led.size(), 1U);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(keeper_group, a_minority_promises_nothing) {
  group_world world{3, 5};
  world.run(2s);
  for (std::size_t i = 0; i < 3; ++i) {
    world.stop(i);
  }
  const std::size_t before = world.promised();
  world.run(5s);
  EXPECT_EQ(world.promised(), before);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(keeper_group, one_that_lost_its_disk_catches_up) {
  group_world world{4, 3};
  world.run(5s);
  world.lose_disk(1);
  world.run(1s);
  ASSERT_TRUE(world.comes_to_rest()) << world.broken();
  EXPECT_GT(world.keeper_of(1).book().log().size(), 50U);
}

TEST(keeper_group, one_that_was_away_for_long_agrees_again) {
  group_world world{8, 3};
  world.run(1s);
  world.stop(0);
  world.run(1s);
  world.skip_time(600); // orders of that second are old when it hears of them
  world.start(0);
  world.run(4s);
  EXPECT_EQ(world.broken(), "");
  const std::size_t leads = world.leader();
  ASSERT_LT(leads, world.count());
  EXPECT_GE(world.group_of(0).report().agreed + 8, world.group_of(leads).report().agreed)
      << "not only under heads";
  EXPECT_GE(world.keeper_of(0).book().log().size() + 8, world.keeper_of(leads).book().log().size());
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
}

TEST(keeper_group, one_that_begins_again_in_silence_learns_what_most_signed) {
  group_world world{9, 3};
  world.run(2s);
  world.asks = false;
  world.run(1s);
  const std::size_t again = (world.leader() + 1) % world.count();
  world.stop(again);
  world.forget_head(again);
  world.start(again);
  world.run(2s);
  ASSERT_TRUE(world.keeper_of(again).has_head());
  EXPECT_EQ(world.keeper_of(again).head().head.size, world.keeper_of(again).book().log().size());
}

TEST(keeper_group, says_who_leads_and_how_far_each_is) {
  group_world world{10, 3};
  world.run(2s);
  world.asks = false;
  world.run(1s);
  const std::size_t leads = world.leader();
  ASSERT_LT(leads, world.count());
  for (std::size_t i = 0; i < world.count(); ++i) {
    const group_report seen = world.group_of(i).report();
    EXPECT_EQ(seen.leads, i == leads);
    EXPECT_EQ(seen.leader, world.key_of(leads).id());
    ASSERT_EQ(seen.keepers.size(), world.count());
    for (const auto& one : seen.keepers) {
      EXPECT_EQ(one.signed_size, world.keeper_of(leads).book().log().size());
    }
  }
  world.stop(leads);
  world.run(3s);
  for (std::size_t i = 0; i < world.count(); ++i) {
    if (i != leads) {
      EXPECT_EQ(world.group_of(i).report().hand_overs, 1U);
    }
  }
}

TEST(keeper_group, no_schedule_loses_or_doubles_what_was_promised) {
  for (std::uint64_t seed = 1; seed <= schedules(); ++seed) {
    group_world world{seed, static_cast<std::uint8_t>(seed % 4 == 0 ? 5 : 3)};
    world.weather = {static_cast<unsigned>(world.chance() % 15),
                     static_cast<unsigned>(world.chance() % 10),
                     static_cast<unsigned>(1 + world.chance() % 80)};
    bool lost = false;
    for (int turn = 0; turn < 20 && world.broken().empty(); ++turn) {
      const std::size_t one = world.chance() % world.count();
      switch (world.chance() % 6) {
      case 0: world.stop(one); break;
      case 1:
      case 2: world.start(one); break;
      case 3: world.cut_link(one, (one + 1) % world.count()); break;
      case 4: world.heal_links(); break;
      default:
        if (!lost) {
          lost = true;
          world.lose_disk(one);
        }
      }
      world.run(raft::milliseconds{world.chance() % 900});
    }
    ASSERT_TRUE(world.comes_to_rest()) << "seed " << seed << ": " << world.broken();
  }
}

} // namespace
} // namespace ovir::ledger
