// Membership with one member that lies: whatever it says, the honest ones agree among themselves.
#include "tests/property/membership_swarm.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iterator>
#include <map>

namespace ovir::actors {
namespace {

using testing::IsEmpty;
using namespace std::chrono_literals;

std::uint64_t first_liar_seed() {
  const char* text = std::getenv("OVIR_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

/// The last node of the swarm, with a valid key and much to say. What it hears it keeps.
class liar {
public:
  liar(membership_swarm& swarm, std::uint64_t seed)
      : swarm_(swarm), random_(seed), self_(swarm.size() - 1) {}

  /// Answers pings, as whoever wants to stay does.
  void hear(std::size_t from, std::span<const std::byte> bytes) {
    const auto message = decode_gossip(bytes);
    ASSERT_TRUE(message) << message.error().message;
    if (const auto* p = std::get_if<ping>(&message->body)) {
      say(from, {ping_answer{p->nonce}, {own()}});
    }
    // Its ghosts are as alive as it can make them.
    if (const auto* order = std::get_if<probe_order>(&message->body)) {
      if (const auto ghost = ghosts_.find(order->target); ghost != ghosts_.end()) {
        say(from, {sign_life(ghost->second, swarm_.id(from), order->nonce), {}});
      }
    }
    for (const signed_update& u : message->updates) {
      if (heard_.size() < 500) {
        heard_.push_back(u);
      }
    }
  }

  void accuse_everyone() {
    std::vector<signed_update> updates;
    for (std::size_t i = 0; i < self_; ++i) {
      updates.emplace_back(sign_suspicion(swarm_.key(self_), swarm_.id(i), incarnation(i)));
    }
    say_to_all({news{}, updates});
  }
  void replay() {
    if (!heard_.empty()) {
      say_to_all({news{}, {heard_[random_() % heard_.size()], heard_[random_() % heard_.size()]}});
    }
  }
  /// Adverts and farewells in the name of others, some signed by the liar, some a changed copy.
  void forge() {
    const std::size_t victim = random_() % self_;
    node_advert advert = swarm_.core(victim).find(swarm_.id(victim))->advert;
    advert.address = "elsewhere:1";
    signed_advert a = sign_advert(swarm_.key(self_), incarnation(victim) + 1, advert);
    a.node = swarm_.id(victim);
    signed_farewell f = sign_farewell(swarm_.key(self_), incarnation(victim) + 1);
    f.node = swarm_.id(victim);
    signed_suspicion s = sign_suspicion(swarm_.key(self_), swarm_.id(victim), incarnation(victim));
    s.accuser = swarm_.id((victim + 1) % self_);
    switch (random_() % 3) {
    case 0: return say_to_all({news{}, {a}});
    case 1: return say_to_all({news{}, {f}});
    default: return say_to_all({news{}, {s}});
    }
  }
  /// Signs of life, orders and summaries that make no sense.
  void confuse() {
    life_sign s = sign_life(swarm_.key(self_), swarm_.id(0), random_());
    s.target = swarm_.id(random_() % self_);
    say_to_all({s, {}});
    say_to_all({probe_order{random_(), swarm_.id(random_() % self_)}, {}});
    say_to_all({relayed_ping{random_(), swarm_.id(random_() % self_)}, {}});
    say_to_all({ping_answer{random_()}, {}});
    summary claims{random_() % 2 == 0, {}};
    for (std::size_t i = 0; i < self_; ++i) {
      claims.nodes.push_back({swarm_.id(i), random_(), random_() % 2 == 0});
    }
    say_to_all({claims, {}});
  }
  void introduce_strangers() {
    const secret_key stranger = swarm_key(random_());
    say_to_all({news{}, {sign_advert(stranger, 1, {})}});
  }
  /// Nodes that are not there, of which it has the keys, at addresses of its choice.
  void haunt() {
    if (ghosts_.size() < limits::full_mesh_max) {
      secret_key made = swarm_key(~random_()); // none of the swarm's
      const node_id id = made.id();
      ghosts_.emplace(id, std::move(made));
    }
    ++incarnation_;
    auto ghost = ghosts_.begin();
    std::advance(ghost, static_cast<std::ptrdiff_t>(random_() % ghosts_.size()));
    node_advert a;
    a.name = "ghost";
    a.address = fmt::format("victim:{}", 1 + random_() % 60'000);
    say_to_all({news{}, {sign_advert(ghost->second, incarnation_, a)}});
  }
  void advertise_much() {
    for (int i = 0; i < 5; ++i) {
      ++incarnation_;
      say_to_all({news{}, {own()}});
    }
  }
  void flood() {
    for (int i = 0; i < 200; ++i) {
      say_to_all({ping{random_()}, {}});
    }
  }
  void babble() {
    std::vector<std::byte> bytes(random_() % 200);
    for (std::byte& b : bytes) {
      b = static_cast<std::byte>(random_() & 0xffU);
    }
    for (std::size_t i = 0; i < self_; ++i) {
      swarm_.send(self_, i, bytes);
    }
  }

private:
  signed_update own() {
    node_advert a;
    a.name = "liar";
    a.address = fmt::format("n{}:1", self_);
    a.sessions = static_cast<std::uint32_t>(incarnation_ & 0xffffU);
    return sign_advert(swarm_.key(self_), incarnation_, a);
  }
  std::uint64_t incarnation(std::size_t i) {
    return swarm_.core(i).find(swarm_.id(i))->incarnation;
  }
  void say(std::size_t to, const gossip_message& m) { swarm_.send(self_, to, encode_gossip(m)); }
  void say_to_all(const gossip_message& m) {
    for (std::size_t i = 0; i < self_; ++i) {
      say(i, m);
    }
  }

  membership_swarm& swarm_;
  std::mt19937_64 random_;
  std::size_t self_;
  std::uint64_t incarnation_{std::uint64_t{1} << 40U};
  std::vector<signed_update> heard_;
  std::map<node_id, secret_key> ghosts_;
};

/// Swarms of 4 to 10 whose last node becomes a liar that does `deed` every 25 ms.
template <class Deed, class Law>
void for_liars(std::uint64_t count, Deed deed, Law law) {
  for (std::uint64_t seed = first_liar_seed(); seed < first_liar_seed() + count; ++seed) {
    SCOPED_TRACE(fmt::format("OVIR_SEED={}", seed));
    membership_swarm swarm{seed, 4 + seed % 7};
    swarm.let_strangers_in();
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      swarm.start(i);
    }
    swarm.run(4s);
    ASSERT_EQ(swarm.disagreement(), "");
    liar villain{swarm, seed};
    std::mt19937_64 random{seed};
    bool tired = false;
    swarm.possess(swarm.size() - 1, [&](std::size_t from, std::span<const std::byte> bytes) {
      if (bytes.empty()) {
        if (!tired) {
          deed(villain, random);
        }
      } else {
        villain.hear(from, bytes);
      }
    });
    swarm.run(10s);
    law(swarm);
    tired = true; // what is in flight arrives
    swarm.run(2s);
    EXPECT_EQ(swarm.disagreement(), "");
    EXPECT_EQ(swarm.seen(member_health::dead), 0U);
    EXPECT_EQ(swarm.seen(member_health::left), 0U);
    ASSERT_THAT(swarm.violations(), IsEmpty());
  }
}

TEST(membership_liar, who_accuses_everyone_removes_nobody) {
  for_liars(
      4, [](liar& l, std::mt19937_64&) { l.accuse_everyone(); },
      [](const membership_swarm& swarm) {
        // Nobody who answers is even suspected. Refutations are bounded to ten a second, and what
        // is said because of the lies by what the liar says.
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        const std::uint64_t started = 3'600'000;
        EXPECT_GT(swarm.core(0).find(swarm.id(0))->incarnation, started + 50);
        EXPECT_LE(swarm.core(0).find(swarm.id(0))->incarnation, started + 100 + 110);
        EXPECT_LT(swarm.sent(), swarm.size() * 14 * 300);
      });
}

TEST(membership_liar, who_replays_what_was_said_changes_nothing) {
  for_liars(
      4, [](liar& l, std::mt19937_64&) { l.replay(); },
      [](const membership_swarm& swarm) {
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        EXPECT_EQ(swarm.refused(), 0U);
      });
}

TEST(membership_liar, who_forges_loses_its_links_and_nothing_else_happens) {
  for_liars(
      4, [](liar& l, std::mt19937_64&) { l.forge(); },
      [](const membership_swarm& swarm) {
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        EXPECT_GT(swarm.refused(), 0U);
      });
}

TEST(membership_liar, who_floods_loses_its_links_and_nothing_else_happens) {
  for_liars(
      2, [](liar& l, std::mt19937_64&) { l.flood(); },
      [](const membership_swarm& swarm) {
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        EXPECT_GT(swarm.refused(), 0U);
      });
}

TEST(membership_liar, who_does_everything_at_once_disturbs_nobody) {
  for_liars(
      8,
      [](liar& l, std::mt19937_64& random) {
        switch (random() % 12) {
        case 0: return l.forge();
        case 1: return l.introduce_strangers();
        case 2: return l.advertise_much();
        case 3: return l.flood();
        case 4: return l.babble();
        case 5:
        case 6: return l.replay();
        case 7:
        case 8: return l.accuse_everyone();
        default: return l.confuse();
        }
      },
      [](const membership_swarm& swarm) {
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        for (std::size_t i = 0; i + 1 < swarm.size(); ++i) {
          EXPECT_LE(swarm.core(i).members().size(), swarm.size());
        }
      });
}

TEST(membership_liar, who_invents_nodes_makes_no_members_and_aims_few_connections) {
  for_liars(
      4, [](liar& l, std::mt19937_64&) { l.haunt(); },
      [](membership_swarm& swarm) {
        EXPECT_EQ(swarm.seen(member_health::suspect), 0U);
        EXPECT_GT(swarm.stranger_dials(), 0U);
        EXPECT_LE(swarm.stranger_dials(), (swarm.size() - 1) * (limits::dials_burst + 11U));
        for (std::size_t i = 0; i + 1 < swarm.size(); ++i) {
          EXPECT_LE(swarm.core(i).members().size(), swarm.size());
        }
      });
}

TEST(membership_liar, who_invents_nodes_keeps_no_newcomer_out) {
  membership_swarm swarm{first_liar_seed(), 8};
  swarm.let_strangers_in();
  for (std::size_t i = 0; i < 8; ++i) {
    if (i != 6) {
      swarm.start(i);
    }
  }
  swarm.run(3s);
  liar villain{swarm, first_liar_seed()};
  swarm.possess(7, [&](std::size_t from, std::span<const std::byte> bytes) {
    if (bytes.empty()) {
      villain.haunt();
    } else {
      villain.hear(from, bytes);
    }
  });
  swarm.run(5s);
  swarm.start(6);
  swarm.run(5s);
  EXPECT_EQ(swarm.disagreement(), "");
  EXPECT_THAT(swarm.violations(), IsEmpty());
}

TEST(membership_liar, cannot_keep_the_dead_alive_nor_bring_them_back) {
  for (std::uint64_t seed = first_liar_seed(); seed < first_liar_seed() + 4; ++seed) {
    SCOPED_TRACE(fmt::format("OVIR_SEED={}", seed));
    membership_swarm swarm{seed, 6};
    for (std::size_t i = 0; i < swarm.size(); ++i) {
      swarm.start(i);
    }
    swarm.run(2s);
    liar villain{swarm, seed};
    swarm.possess(5, [&](std::size_t from, std::span<const std::byte> bytes) {
      if (bytes.empty()) {
        villain.confuse();
        villain.replay();
      } else {
        villain.hear(from, bytes);
      }
    });
    swarm.run(4s);
    swarm.kill(2);
    swarm.run(1s);
    EXPECT_TRUE(swarm.everyone_sees(2, member_health::dead));
    swarm.run(20s);
    EXPECT_TRUE(swarm.everyone_sees(2, member_health::dead));
    // A member that starts now never sees it, whatever it is told.
    swarm.kill(1);
    swarm.start(1);
    swarm.run(8s);
    EXPECT_EQ(swarm.health(1, 2), std::nullopt);
    ASSERT_THAT(swarm.violations(), IsEmpty());
  }
}

} // namespace
} // namespace ovir::actors
