// The laws of membership, in a simulated network with every fault it has to live with.
#include "tests/property/membership_swarm.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace ovir::actors {
namespace {

using testing::IsEmpty;
using namespace std::chrono_literals;
using cut = membership_swarm::cut;

const membership_options options;

std::uint64_t first_seed() {
  const char* text = std::getenv("OVIR_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

/// Runs `law` with a few seeds, which also give the number of nodes, 2 to 16.
template <class Law>
void for_seeds(std::uint64_t count, std::size_t nodes_min, Law law) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + count; ++seed) {
    const std::size_t nodes = nodes_min + (seed * 7 + 6) % (17 - nodes_min);
    SCOPED_TRACE(fmt::format("OVIR_SEED={} with {} nodes", seed, nodes));
    membership_swarm swarm{seed, nodes};
    std::mt19937_64 random{seed * 1000};
    for (std::size_t i = 0; i < nodes; ++i) {
      swarm.start(i);
      swarm.run(milliseconds{random() % 50});
    }
    swarm.run(4s);
    ASSERT_EQ(swarm.disagreement(), "");
    law(swarm, random);
    ASSERT_THAT(swarm.violations(), IsEmpty());
  }
}

/// Time until some member probes a certain one, and finds that nobody reaches it: at worst two
/// rounds of the others, who take turns by chance.
milliseconds found_out(std::size_t nodes) {
  return 2 * nodes * options.probe_interval + 2 * options.probe_timeout;
}

/// News takes a few intervals to everyone, who then probe themselves.
constexpr milliseconds told_and_checked = 500ms + 300ms;

/// A link that was lost for long is looked for again within the longest wait and its jitter.
constexpr milliseconds found_again = limits::contact_wait_max * 5 / 4 + 1500ms;

TEST(membership, a_quiet_network_is_whole_and_nobody_is_ever_suspected) {
  for_seeds(8, 2, [](membership_swarm& swarm, std::mt19937_64&) {
    const std::size_t attempts = swarm.attempts();
    const std::size_t sent = swarm.sent();
    swarm.run(20s);
    EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
    EXPECT_EQ(swarm.seen(member_health::dead), 0U);
    EXPECT_EQ(swarm.refused(), 0U);
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        EXPECT_TRUE(swarm.linked(i, j)) << i << " " << j;
        EXPECT_TRUE(swarm.core(i).find(swarm.id(j))->rtt.has_value());
      }
    }
    // A ping and its answer per interval and node, and now and then an exchange; no news.
    EXPECT_EQ(swarm.attempts(), attempts);
    EXPECT_LE(swarm.sent() - sent, swarm.size() * 20 * (20 + 2));
  });
}

TEST(membership, whoever_is_killed_is_dead_everywhere_and_back_after_a_restart) {
  for_seeds(10, 2, [](membership_swarm& swarm, std::mt19937_64& random) {
    const std::size_t victim = random() % swarm.size();
    swarm.kill(victim);
    swarm.run(options.suspect_timeout + 200ms);
    EXPECT_TRUE(swarm.everyone_sees(victim, member_health::dead)) << swarm.disagreement();
    swarm.run(milliseconds{random() % 5000});
    EXPECT_TRUE(swarm.everyone_sees(victim, member_health::dead));
    swarm.start(victim);
    swarm.run(found_again);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

TEST(membership, a_machine_without_power_is_dead_everywhere) {
  for_seeds(10, 2, [](membership_swarm& swarm, std::mt19937_64& random) {
    const std::size_t victim = random() % swarm.size();
    swarm.power_off(victim);
    swarm.run(found_out(swarm.size()) + told_and_checked + options.suspect_timeout);
    EXPECT_TRUE(swarm.everyone_sees(victim, member_health::dead)) << swarm.disagreement();
  });
}

TEST(membership, the_frozen_are_suspected_by_all_and_refute_it_when_they_go_on) {
  for_seeds(10, 2, [](membership_swarm& swarm, std::mt19937_64& random) {
    const std::size_t victim = random() % swarm.size();
    const std::uint64_t before = swarm.core(victim).find(swarm.id(victim))->incarnation;
    swarm.freeze(victim);
    swarm.run(found_out(swarm.size()) + told_and_checked);
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      if (i != victim) {
        EXPECT_NE(swarm.health(i, victim), member_health::alive) << i;
      }
    }
    swarm.run(milliseconds{random() % 20'000});
    const std::size_t suspected = swarm.seen(member_health::suspect);
    swarm.thaw(victim);
    swarm.run(found_again);
    EXPECT_EQ(swarm.disagreement(), "");
    EXPECT_GT(swarm.core(victim).find(swarm.id(victim))->incarnation, before);
    // Its own stop was no evidence against the others.
    EXPECT_EQ(swarm.seen(member_health::suspect), suspected);
  });
}

TEST(membership, lost_links_heal_without_a_death) {
  for_seeds(8, 3, [](membership_swarm& swarm, std::mt19937_64& random) {
    for (int i = 0; i < 20; ++i) {
      const std::size_t a = random() % swarm.size();
      const std::size_t b = (a + 1 + random() % (swarm.size() - 1)) % swarm.size();
      swarm.break_link(a, b);
      swarm.run(milliseconds{300 + random() % 300});
    }
    swarm.run(found_again);
    EXPECT_EQ(swarm.seen(member_health::dead), 0U);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

TEST(membership, two_that_cannot_reach_each_other_live_by_the_word_of_the_others) {
  for_seeds(6, 4, [](membership_swarm& swarm, std::mt19937_64&) {
    swarm.cut_pair(0, 1);
    swarm.run(10s);
    EXPECT_FALSE(swarm.linked(0, 1));
    EXPECT_EQ(swarm.seen(member_health::dead), 0U);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

TEST(membership, after_a_partition_heals_all_agree) {
  for_seeds(16, 2, [](membership_swarm& swarm, std::mt19937_64& random) {
    std::set<std::size_t> side;
    while (side.empty() || side.size() == swarm.size()) {
      side.clear();
      for (std::size_t i = 0; i < swarm.size(); ++i) {
        if (random() % 2 == 0) {
          side.insert(i);
        }
      }
    }
    swarm.partition(side, random() % 2 == 0 ? cut::broken : cut::silent);
    swarm.run(milliseconds{200 + random() % 400});
    swarm.advertise(random() % swarm.size());
    swarm.run(milliseconds{random() % 2 == 0 ? 0 : 10'000 + random() % 30'000});
    swarm.heal();
    swarm.run(found_again);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

TEST(membership, whoever_leaves_is_gone_at_once_and_is_not_called_dead) {
  for_seeds(6, 3, [](membership_swarm& swarm, std::mt19937_64& random) {
    const std::size_t who = random() % swarm.size();
    swarm.leave(who);
    swarm.run(5s);
    EXPECT_TRUE(swarm.everyone_sees(who, member_health::left));
    EXPECT_EQ(swarm.seen(member_health::dead), 0U);
    EXPECT_EQ(swarm.disagreement(), "");
    swarm.start(who);
    swarm.run(found_again);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

TEST(membership, every_advert_reaches_everyone) {
  for_seeds(6, 2, [](membership_swarm& swarm, std::mt19937_64& random) {
    for (int i = 0; i < 10; ++i) {
      swarm.advertise(random() % swarm.size());
      swarm.run(milliseconds{random() % 200});
    }
    swarm.run(1500ms);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

void something_happens(membership_swarm& swarm, std::mt19937_64& random) {
  const std::size_t who = random() % swarm.size();
  switch (random() % 8) {
  case 0: swarm.kill(who); break;
  case 1: swarm.power_off(who); break;
  case 2: swarm.freeze(who); break;
  case 3: swarm.thaw(who); break;
  case 4:
    swarm.partition({who, (who + 1) % swarm.size()}, random() % 2 == 0 ? cut::broken : cut::silent);
    break;
  case 5: swarm.heal(); break;
  case 6: swarm.break_link(who, (who + 1) % swarm.size()); break;
  default:
    if (!swarm.running(who)) {
      swarm.kill(who); // what power_off left open
      swarm.start(who);
    } else if (random() % 4 == 0) {
      swarm.leave(who);
    } else {
      swarm.advertise(who);
    }
  }
}

TEST(membership, after_any_series_of_faults_all_agree_and_no_ghost_was_seen) {
  for_seeds(12, 3, [](membership_swarm& swarm, std::mt19937_64& random) {
    for (int i = 0; i < 60; ++i) {
      something_happens(swarm, random);
      swarm.run(milliseconds{random() % 1500});
    }
    swarm.heal();
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      swarm.thaw(i);
    }
    swarm.run(200ms);
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      if (!swarm.running(i)) {
        swarm.kill(i);
        swarm.start(i);
      }
    }
    swarm.run(2 * found_again);
    EXPECT_EQ(swarm.disagreement(), "");
  });
}

} // namespace
} // namespace ovir::actors
