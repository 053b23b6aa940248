#include "tests/unit/actors/members/member_crowd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST_F(member_crowd, begins_above_the_full_mesh_and_ends_well_below) {
  EXPECT_TRUE(core->crowded());
  for (std::uint16_t n = 1; n <= peers_met - 5; ++n) {
    (void)hear(n, news{}, {sign_farewell(keys[n], 2)});
  }
  (void)pass(100ms);
  EXPECT_FALSE(core->crowded());
}

TEST_F(member_crowd, who_is_lost_is_looked_for_and_accused_when_it_is_not_there) {
  const crowd_effects lost = core->on_link_down(id(3), now);
  EXPECT_EQ(health(3), member_health::suspect);
  ASSERT_THAT(only<want_link>(lost), SizeIs(1));
  const crowd_effects later = pass(5s);
  EXPECT_EQ(health(3), member_health::suspect) << "its own word is not enough";
  const auto told = said(later);
  EXPECT_TRUE(std::any_of(told.begin(), told.end(), [&](const gossip_message& m) {
    return std::any_of(m.updates.begin(), m.updates.end(), [&](const signed_update& u) {
      return std::holds_alternative<signed_suspicion>(u) && subject_of(u) == id(3);
    });
  }));
  (void)core->on_link_up(id(3), now, true);
  EXPECT_EQ(health(3), member_health::alive);
}

TEST_F(member_crowd, who_is_lost_too_often_to_be_dialled_is_looked_for_later) {
  const auto dialled = [&](const crowd_effects& all) {
    const auto links = only<want_link>(all);
    return std::count_if(links.begin(), links.end(),
                         [&](const want_link& link) { return link.to == id(3); });
  };
  std::uint32_t lost = 0;
  while (dialled(core->on_link_down(id(3), now)) > 0) {
    ASSERT_LE(++lost, limits::dials_burst);
    (void)core->on_link_up(id(3), now, true);
    EXPECT_EQ(health(3), member_health::alive);
  }
  EXPECT_EQ(health(3), member_health::suspect);
  EXPECT_GT(dialled(pass(limits::dial_interval + 30s)), 0);
}

TEST_F(member_crowd, a_parting_is_no_loss) {
  (void)hear(3, parting{});
  EXPECT_THAT(only<member_changed>(core->on_link_down(id(3), now)), IsEmpty());
  EXPECT_EQ(health(3), member_health::alive);
}

TEST_F(member_crowd, a_parting_that_arrives_after_the_next_link_ends_nothing) {
  (void)core->on_link_up(id(3), now); // beside the one that is parted from
  (void)hear(3, parting{});
  (void)hear(3, news{});
  (void)core->on_link_down(id(3), now); // of the first one would not be told
  EXPECT_EQ(health(3), member_health::suspect) << "the link was one that is used";
  (void)core->on_link_up(id(3), now);
  (void)hear(3, parting{});
  EXPECT_THAT(only<member_changed>(core->on_link_down(id(3), now)), IsEmpty());
}

TEST_F(member_crowd, parts_from_links_it_opened_unless_they_are_used_or_drawn) {
  (void)core->on_link_up(id(1), now, true);
  (void)core->on_link_up(id(2), now, true);
  std::set<node_id> parted;
  for (int i = 0; i < 400; ++i) { // neighbours change
    core->on_link_used(id(2), now);
    const crowd_effects all = pass(1s);
    for (const part_link& p : only<part_link>(all)) {
      parted.insert(p.from);
      const auto told = said(all, numbers.at(p.from));
      EXPECT_TRUE(std::any_of(told.begin(), told.end(), [](const gossip_message& m) {
        return std::holds_alternative<parting>(m.body);
      }));
    }
  }
  EXPECT_EQ(parted, std::set{id(1)});
}

TEST_F(member_crowd, one_liar_who_accuses_everybody_makes_nobody_suspect) {
  for (int round = 0; round < 50; ++round) {
    for (std::uint16_t n = 1; n < peers_met; ++n) {
      (void)hear(peers_met, news{}, {accusation(peers_met, n)});
    }
    (void)hear(peers_met, news{}, {accusation(peers_met, 0, 10)});
    (void)pass(200ms);
  }
  for (std::uint16_t n = 1; n <= peers_met; ++n) {
    EXPECT_EQ(health(n), member_health::alive) << n;
  }
  // Each refutation goes to all: a lone accuser gets few.
  EXPECT_LE(core->find(id(0))->incarnation, 10 + limits::urgent_burst);
}

TEST_F(member_crowd, three_accusers_make_it_suspect_and_then_dead) {
  (void)hear(1, news{}, {accusation(1, 7), accusation(2, 7), accusation(2, 7)});
  EXPECT_EQ(health(7), member_health::alive);
  (void)hear(1, news{}, {accusation(3, 7)});
  EXPECT_EQ(health(7), member_health::suspect);
  silent.insert(7);
  (void)pass(suspicion());
  EXPECT_EQ(health(7), member_health::dead);
}

TEST_F(member_crowd, a_suspect_refutes_it_with_a_newer_advert) {
  (void)hear(1, news{}, {accusation(1, 7), accusation(2, 7), accusation(3, 7)});
  ASSERT_EQ(health(7), member_health::suspect);
  (void)hear(2, news{}, {advert(7, 2)});
  EXPECT_EQ(health(7), member_health::alive);
  (void)hear(1, news{}, {accusation(4, 7, 1)}); // of before
  (void)pass(suspicion());
  EXPECT_EQ(health(7), member_health::alive);
}

TEST_F(member_crowd, refutes_what_three_say_and_not_what_one_says) {
  (void)hear(1, news{}, {accusation(2, 0, 10)});
  (void)pass(1s);
  EXPECT_EQ(core->find(id(0))->incarnation, 10U);
  (void)hear(1, news{}, {accusation(3, 0, 10), accusation(4, 0, 10)});
  (void)pass(1s);
  EXPECT_EQ(core->find(id(0))->incarnation, 11U);
}

TEST_F(member_crowd, three_neighbours_make_a_member_and_two_do_not) {
  (void)hear(1, news{}, {advert(30, 5)});
  (void)hear(2, news{}, {}, {{id(30), 5, true}});
  (void)hear(2, news{}, {}, {{id(30), 5, true}});
  (void)hear(3, news{}, {}, {{id(30), 4, true}}); // of an earlier life
  EXPECT_EQ(health(30), std::nullopt);
  const auto change = only<member_changed>(hear(3, news{}, {}, {{id(30), 5, true}}));
  ASSERT_THAT(change, SizeIs(1));
  EXPECT_EQ(health(30), member_health::alive);
  // Now its neighbours hear that from this node.
  const auto told = said(pass(5s));
  EXPECT_TRUE(std::any_of(told.begin(), told.end(), [&](const gossip_message& m) {
    return std::find(m.counted.begin(), m.counted.end(), known_node{id(30), 5, true}) !=
           m.counted.end();
  }));
}

TEST_F(member_crowd, what_neighbours_count_before_the_advert_is_here_counts_then) {
  for (std::uint16_t n = 1; n <= 3; ++n) {
    (void)hear(n, news{}, {}, {{id(30), 5, true}});
  }
  EXPECT_EQ(health(30), std::nullopt);
  (void)hear(4, news{}, {advert(30, 5)});
  EXPECT_EQ(health(30), member_health::alive);
}

TEST_F(member_crowd, one_peer_that_invents_thousands_makes_no_member_and_is_not_told_on) {
  const auto before = core->members().size();
  std::size_t dials = 0;
  std::vector<secret_key> ghosts;
  for (std::uint16_t g = 1'000; g < 3'000; ++g) {
    ghosts.push_back(crowd_key(g));
    numbers[ghosts.back().id()] = g;
    const signed_update made = sign_advert(ghosts.back(), 1, crowd_advert(g));
    (void)hear(1, news{}, {made, made}, {{ghosts.back().id(), 1, true}});
    const crowd_effects all = pass(25ms);
    for (const gossip_message& m : said(all)) {
      EXPECT_TRUE(std::none_of(m.counted.begin(), m.counted.end(),
                               [&](const known_node& k) { return numbers.at(k.node) >= 1'000; }));
      EXPECT_TRUE(std::none_of(m.updates.begin(), m.updates.end(), [&](const signed_update& u) {
        return numbers.at(subject_of(u)) >= 1'000;
      }));
    }
    dials += only<want_link>(all).size();
  }
  EXPECT_THAT(core->members(), SizeIs(before));
  EXPECT_LE(dials, limits::dials_burst + 51U) << "on account of who told of them";
}

TEST_F(member_crowd, an_old_advert_of_the_dead_revives_nobody_whoever_counts_it) {
  silent.insert(7);
  (void)hear(1, news{}, {accusation(1, 7), accusation(2, 7), accusation(3, 7)});
  (void)pass(suspicion());
  ASSERT_EQ(health(7), member_health::dead);
  for (std::uint16_t n = 1; n <= 5; ++n) {
    (void)hear(n, news{}, {advert(7, 1)}, {{id(7), 1, true}});
  }
  EXPECT_EQ(health(7), member_health::dead);
  // Signed in time and told late: one peer does not suffice.
  (void)core->on_link_down(id(7), now);
  (void)hear(1, news{}, {advert(7, 2)}, {{id(7), 2, true}});
  EXPECT_EQ(health(7), member_health::dead);
}

TEST_F(member_crowd, compares_sums_and_tells_of_buckets_that_differ) {
  std::optional<digests> asked;
  for (int i = 0; i < 400 && !asked; ++i) {
    for (const gossip_message& m : said(pass(25ms))) {
      if (const auto* d = std::get_if<digests>(&m.body)) {
        asked = *d;
      }
    }
  }
  ASSERT_TRUE(asked);
  EXPECT_THAT(said(hear(1, *asked)), IsEmpty()) << "they agree";
  digests other = *asked;
  other.sums[bucket_of(id(5))] += 1;
  const auto answer = said(hear(1, other), 1);
  ASSERT_THAT(answer, SizeIs(1));
  const auto& told = std::get<summary>(answer[0].body);
  EXPECT_EQ(told.buckets, bucket_set{}.set(bucket_of(id(5))));
  EXPECT_TRUE(std::any_of(told.nodes.begin(), told.nodes.end(),
                          [&](const known_node& k) { return k.node == id(5) && k.counted; }));
  EXPECT_TRUE(std::all_of(told.nodes.begin(), told.nodes.end(), [&](const known_node& k) {
    return bucket_of(k.node) == bucket_of(id(5));
  }));
}

TEST_F(member_crowd, sums_and_summaries_that_lie_change_nothing_here) {
  const auto before = core->members().size();
  summary lies{true, {}, bucket_set{}};
  for (std::uint16_t n = 0; n < 40; ++n) {
    lies.nodes.push_back({id(n), 1'000'000U + n, n % 2 == 0});
    lies.buckets.set(bucket_of(id(n)));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(only<member_changed>(hear(1, lies, {}, {{id(35), 9, true}})), IsEmpty());
    EXPECT_THAT(only<member_changed>(hear(1, digests{7, std::vector<std::uint32_t>(256, 9)})),
                IsEmpty());
    EXPECT_THAT(only<member_changed>(pass(5s)), IsEmpty());
  }
  EXPECT_EQ(core->members().size(), before);
  EXPECT_EQ(core->find(id(0))->incarnation, 10U);
}

TEST_F(member_crowd, adverts_of_load_wait_and_those_of_models_do_not) {
  node_advert busy = crowd_advert(0);
  busy.sessions = 1;
  (void)core->advertise(busy, now);
  EXPECT_EQ(core->find(id(0))->incarnation, 11U);
  busy.sessions = 2;
  (void)core->advertise(busy, now);
  EXPECT_EQ(core->find(id(0))->incarnation, 11U);
  EXPECT_EQ(core->find(id(0))->advert.sessions, 2U) << "edits go on from it";
  busy.draining = true;
  (void)core->advertise(busy, now);
  EXPECT_EQ(core->find(id(0))->incarnation, 12U);
  busy.sessions = 3;
  (void)core->advertise(busy, now);
  (void)pass(3s);
  EXPECT_EQ(core->find(id(0))->incarnation, 13U);
}

} // namespace
} // namespace ovir::actors
