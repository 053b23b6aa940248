#include "actors/members/membership_core.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;
using time_point = membership_core::time_point;
using effects = membership_core::effects;

const time_point start{1h};

secret_key key(std::uint8_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{n};
  return secret_key::from_seed(seed);
}

node_advert advert(const std::string& name) {
  node_advert a;
  a.name = name;
  a.address = name + ":1";
  a.roles.add(role::worker);
  return a;
}

std::optional<role_set> anyone(const node_id&) { return member_roles; }

/// One core and the peers it hears of; the peers are played by the test.
struct membership_unit : testing::Test {
  secret_key mine{key(1)};
  secret_key ann{key(2)};
  secret_key bob{key(3)};
  membership_core core{mine, advert("me"), 10, {}, 1, anyone};
  time_point now{start};

  effects hear(const secret_key& from, gossip_body body, std::vector<signed_update> updates = {}) {
    auto out = core.on_gossip(from.id(), encode_gossip({std::move(body), std::move(updates)}), now);
    EXPECT_TRUE(out) << out.error().message;
    return *out;
  }
  effects meet(const secret_key& peer, const std::string& name, std::uint64_t incarnation = 1) {
    (void)core.on_link_up(peer.id(), now);
    return hear(peer, news{}, {sign_advert(peer, incarnation, advert(name))});
  }
  effects pass(std::chrono::milliseconds span) {
    effects all;
    for (const time_point end = now + span; now < end;) {
      now += 25ms;
      for (membership_effect& e : core.on_tick(now)) {
        all.push_back(std::move(e));
      }
    }
    return all;
  }
  /// Lets time pass while `peer` answers every ping.
  void pass_answered(std::chrono::milliseconds span, const secret_key& peer) {
    for (const time_point end = now + span; now < end;) {
      for (const gossip_message& m : said(pass(25ms), peer.id())) {
        if (const auto* p = std::get_if<ping>(&m.body)) {
          (void)hear(peer, ping_answer{p->nonce});
        }
      }
    }
  }
  static std::vector<gossip_message> said(const effects& all, const node_id& to) {
    std::vector<gossip_message> out;
    for (const membership_effect& e : all) {
      const auto* s = std::get_if<send_gossip>(&e);
      if (s != nullptr && s->to == to) {
        out.push_back(*decode_gossip(s->bytes));
      }
    }
    return out;
  }
  template <class Effect>
  static std::vector<Effect> only(const effects& all) {
    std::vector<Effect> out;
    for (const membership_effect& e : all) {
      if (const auto* wanted = std::get_if<Effect>(&e)) {
        out.push_back(*wanted);
      }
    }
    return out;
  }
};

TEST_F(membership_unit, knows_itself) {
  ASSERT_THAT(core.members(), SizeIs(1));
  EXPECT_EQ(core.members()[0].node, mine.id());
  EXPECT_EQ(core.find(mine.id())->advert, advert("me"));
  EXPECT_EQ(core.find(ann.id()), nullptr);
}

TEST_F(membership_unit, tells_a_new_link_what_it_knows_and_takes_in_who_speaks) {
  const auto said_to_ann = said(core.on_link_up(ann.id(), now), ann.id());
  ASSERT_THAT(said_to_ann, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<summary>(said_to_ann[0].body));
  EXPECT_EQ(std::get<signed_advert>(said_to_ann[0].updates.at(0)).advert, advert("me"));
  const auto changes = only<member_changed>(hear(ann, news{}, {sign_advert(ann, 1, advert("a"))}));
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].now.node, ann.id());
  EXPECT_TRUE(changes[0].health_changed);
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
}

TEST_F(membership_unit, wants_a_link_to_whom_it_heard_of_and_counts_it_once_it_is_heard) {
  (void)meet(ann, "a");
  (void)hear(ann, news{}, {sign_advert(bob, 4, advert("b"))});
  EXPECT_EQ(core.find(bob.id()), nullptr);
  const auto links = only<want_link>(pass(600ms));
  ASSERT_FALSE(links.empty());
  EXPECT_EQ(links[0].to, bob.id());
  EXPECT_EQ(links[0].address, "b:1");
  (void)core.on_link_up(bob.id(), now);
  EXPECT_EQ(core.find(bob.id())->health, member_health::alive);
}

TEST_F(membership_unit, the_lower_name_connects_first_and_waits_longer_after_each_failure) {
  (void)meet(ann, "a");
  (void)hear(ann, news{}, {sign_advert(bob, 4, advert("b"))});
  std::vector<time_point> tries;
  for (int i = 0; i < 2000; ++i) {
    if (!only<want_link>(pass(25ms)).empty()) {
      tries.push_back(now);
    }
  }
  // It is never reached: at last it is forgotten.
  ASSERT_EQ(tries.size(), 7U);
  const auto grace = mine.id() < bob.id() ? 0ms : 500ms;
  EXPECT_GE(tries[0], start + grace);
  EXPECT_LE(tries[0], start + grace + 50ms);
  EXPECT_LT(tries[1] - tries[0], 400ms);
  EXPECT_GE(tries[6] - tries[5], 8s);
  EXPECT_LE(tries[6] - tries[5], 10s + 25ms);
}

TEST_F(membership_unit, a_member_that_is_lost_is_looked_for_again_and_again) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  (void)core.on_link_down(bob.id(), now);
  std::vector<time_point> tries;
  for (int i = 0; i < 4000; ++i) {
    for (const want_link& w : only<want_link>(pass(25ms))) {
      if (w.to == bob.id()) {
        tries.push_back(now);
      }
    }
  }
  ASSERT_GT(tries.size(), 15U);
  EXPECT_LE(tries.size(), limits::dials_burst + 100U);
  EXPECT_GE(tries[11] - tries[10], limits::contact_wait_max);
  EXPECT_LE(tries[11] - tries[10], limits::contact_wait_max * 5 / 4 + 25ms);
}

/// Adverts of nodes that there are not.
std::vector<signed_update> ghosts(std::uint8_t first, std::size_t count) {
  std::vector<signed_update> all;
  for (std::size_t i = 0; i < count; ++i) {
    const auto n = static_cast<std::uint8_t>(first + i);
    all.emplace_back(sign_advert(key(n), 1, advert("ghost" + std::to_string(n))));
  }
  return all;
}

std::size_t told_of(const std::vector<want_link>& links) {
  std::set<node_id> all;
  for (const want_link& w : links) {
    all.insert(w.to);
  }
  return all.size();
}

TEST_F(membership_unit, one_peer_vouches_for_few_that_were_not_reached) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  (void)hear(ann, news{}, ghosts(100, 60));
  EXPECT_EQ(told_of(only<want_link>(pass(1s))), limits::introductions_max);
  EXPECT_THAT(core.members(), SizeIs(3));
  // Another peer has its own few, and ann has hers again when they are forgotten.
  (void)hear(bob, news{}, ghosts(180, 20));
  const std::size_t both = told_of(only<want_link>(pass(1s)));
  EXPECT_GE(both, limits::introductions_max);
  EXPECT_LE(both, 2 * limits::introductions_max);
  (void)pass(limits::unreached_lifetime);
  (void)hear(ann, news{}, ghosts(210, 30));
  EXPECT_EQ(told_of(only<want_link>(pass(1s))), limits::introductions_max);
}

TEST_F(membership_unit, connections_because_of_one_peer_are_few_whatever_it_tells) {
  (void)meet(ann, "a");
  std::size_t links = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    std::vector<signed_update> moved;
    for (std::uint8_t n = 0; n < limits::introductions_max; ++n) {
      moved.emplace_back(sign_advert(key(static_cast<std::uint8_t>(100 + n)), 1 + i,
                                     advert("x" + std::to_string(i * 100 + n))));
    }
    (void)hear(ann, ping{i}, std::move(moved));
    links += only<want_link>(pass(100ms)).size();
  }
  EXPECT_LE(links, limits::dials_burst + 61U);
  // All at one address: less and less often.
  links = 0;
  for (std::uint8_t i = 0; i < 40; ++i) {
    const secret_key ghost = key(static_cast<std::uint8_t>(150 + i));
    (void)hear(ann, news{}, {sign_advert(ghost, 1, advert("victim"))});
    const auto wanted = only<want_link>(pass(2s));
    links += static_cast<std::size_t>(std::count_if(
        wanted.begin(), wanted.end(), [](const want_link& w) { return w.address == "victim:1"; }));
  }
  EXPECT_GT(links, 0U);
  EXPECT_LE(links, 16U);
}

TEST_F(membership_unit, does_not_connect_to_its_own_address) {
  (void)meet(ann, "a");
  (void)hear(ann, news{}, {sign_advert(bob, 4, advert("me"))});
  EXPECT_THAT(only<want_link>(pass(5s)), IsEmpty());
}

TEST_F(membership_unit, tells_on_only_whom_it_reached) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  const secret_key carl = key(4);
  (void)hear(ann, news{}, {sign_advert(carl, 4, advert("c"))});
  const auto tells_of_carl = [&](const effects& all) {
    const auto told = [&](const gossip_message& m) {
      return std::any_of(m.updates.begin(), m.updates.end(),
                         [&](const signed_update& u) { return subject_of(u) == carl.id(); });
    };
    const auto to_ann = said(all, ann.id());
    const auto to_bob = said(all, bob.id());
    return std::any_of(to_ann.begin(), to_ann.end(), told) ||
           std::any_of(to_bob.begin(), to_bob.end(), told);
  };
  EXPECT_FALSE(tells_of_carl(pass(250ms)));
  (void)core.on_link_up(carl.id(), now);
  EXPECT_TRUE(tells_of_carl(pass(250ms)));
}

TEST_F(membership_unit, measures_round_trips) {
  (void)meet(ann, "a");
  const auto answer_after = [&](std::chrono::milliseconds time) {
    std::optional<ping> asked;
    while (!asked) {
      for (const auto& m : said(pass(25ms), ann.id())) {
        if (const auto* p = std::get_if<ping>(&m.body)) {
          asked = *p;
        }
      }
    }
    now += time;
    const auto before = core.find(ann.id())->rtt;
    (void)hear(ann, ping_answer{asked->nonce + 1});
    EXPECT_EQ(core.find(ann.id())->rtt, before) << "not its answer";
    (void)hear(ann, ping_answer{asked->nonce});
    return core.find(ann.id())->rtt;
  };
  EXPECT_EQ(answer_after(8ms), 8000us);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(answer_after(i == 2 ? 100ms : 8ms), 8000us) << "one that is late says nothing";
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer_after(20ms), i < 2 ? 8000us : 20000us) << i;
  }
}

TEST_F(membership_unit, who_does_not_answer_is_suspected_then_dead_and_others_are_asked) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  std::vector<member_health> seen;
  bool ann_was_asked = false;
  for (int i = 0; i < 100; ++i) {
    const effects all = pass(25ms);
    for (const auto& m : said(all, ann.id())) {
      if (const auto* p = std::get_if<ping>(&m.body)) {
        (void)hear(ann, ping_answer{p->nonce});
      }
      const auto* order = std::get_if<probe_order>(&m.body);
      ann_was_asked = ann_was_asked || (order != nullptr && order->target == bob.id());
    }
    for (const auto& c : only<member_changed>(all)) {
      EXPECT_EQ(c.now.node, bob.id());
      seen.push_back(c.now.health);
    }
  }
  EXPECT_TRUE(ann_was_asked);
  EXPECT_EQ(seen, (std::vector{member_health::suspect, member_health::dead}));
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
}

TEST_F(membership_unit, a_sign_of_life_through_another_saves_but_only_a_genuine_one) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  const auto orders = said(core.on_link_down(bob.id(), now), ann.id());
  EXPECT_EQ(core.find(bob.id())->health, member_health::suspect);
  ASSERT_THAT(orders, SizeIs(1));
  const auto order = std::get<probe_order>(orders[0].body);
  EXPECT_EQ(order.target, bob.id());
  life_sign false_sign = sign_life(ann, mine.id(), order.nonce);
  false_sign.target = bob.id();
  (void)hear(ann, false_sign);
  (void)hear(ann, sign_life(bob, mine.id(), order.nonce + 1));
  (void)hear(ann, sign_life(bob, ann.id(), order.nonce));
  EXPECT_EQ(core.find(bob.id())->health, member_health::suspect);
  (void)hear(ann, sign_life(bob, mine.id(), order.nonce));
  EXPECT_EQ(core.find(bob.id())->health, member_health::alive);
}

TEST_F(membership_unit, asks_for_others_and_carries_the_answer_back) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  const auto asked = said(hear(ann, probe_order{77, bob.id()}), bob.id());
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].body, (gossip_body{relayed_ping{77, ann.id()}}));
  const life_sign sign = sign_life(bob, ann.id(), 77);
  EXPECT_THAT(said(hear(bob, sign_life(bob, ann.id(), 78)), ann.id()), IsEmpty());
  const auto carried = said(hear(bob, sign), ann.id());
  ASSERT_THAT(carried, SizeIs(1));
  EXPECT_EQ(carried[0].body, gossip_body{sign});
  EXPECT_THAT(said(hear(bob, sign), ann.id()), IsEmpty()); // once
}

TEST_F(membership_unit, a_dead_node_returns_only_with_a_higher_incarnation) {
  (void)meet(ann, "a", 5);
  (void)core.on_link_down(ann.id(), now);
  (void)pass(700ms);
  ASSERT_EQ(core.find(ann.id())->health, member_health::dead);
  (void)meet(ann, "a", 5);
  (void)hear(ann, ping{1}, {sign_advert(ann, 4, advert("a"))});
  EXPECT_EQ(core.find(ann.id())->health, member_health::dead);
  // It is told so, and can refute it.
  const auto answers = said(hear(ann, ping{1}), ann.id());
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(subject_of(answers[0].updates.at(0)), ann.id());
  (void)hear(ann, news{}, {sign_advert(ann, 6, advert("a"))});
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
}

TEST_F(membership_unit, a_later_advert_told_by_another_does_not_revive_the_dead) {
  (void)meet(ann, "a", 5);
  (void)meet(bob, "b");
  (void)core.on_link_down(ann.id(), now);
  pass_answered(700ms, bob);
  ASSERT_EQ(core.find(ann.id())->health, member_health::dead);
  (void)hear(bob, news{}, {sign_advert(ann, 6, advert("a"))}); // signed in time, told late
  pass_answered(2s, bob);
  EXPECT_EQ(core.find(ann.id())->health, member_health::dead);
  EXPECT_EQ(core.find(ann.id())->incarnation, 5U);
}

TEST_F(membership_unit, refutes_an_accusation_by_a_higher_incarnation) {
  (void)meet(ann, "a");
  const auto told = said(hear(ann, news{}, {sign_suspicion(ann, mine.id(), 10)}), ann.id());
  EXPECT_EQ(core.find(mine.id())->incarnation, 11U);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(incarnation_of(told.back().updates.at(0)), 11U);
  // An old accusation is no reason, and one from the future neither.
  (void)hear(ann, news{}, {sign_suspicion(ann, mine.id(), 10)});
  (void)hear(ann, news{}, {sign_suspicion(ann, mine.id(), 1'000'000)});
  (void)pass(1s);
  EXPECT_EQ(core.find(mine.id())->incarnation, 11U);
}

TEST_F(membership_unit, goes_on_above_the_incarnation_of_an_earlier_life) {
  (void)meet(ann, "a");
  (void)hear(ann, news{}, {sign_advert(mine, 500, advert("old_me"))});
  EXPECT_EQ(core.find(mine.id())->incarnation, 501U);
  EXPECT_EQ(core.find(mine.id())->advert, advert("me"));
  (void)pass(200ms);
  (void)hear(ann, news{}, {sign_farewell(mine, 600)});
  EXPECT_EQ(core.find(mine.id())->incarnation, 601U);
}

TEST_F(membership_unit, who_comes_back_below_its_incarnation_is_told_how_far_it_was) {
  (void)meet(ann, "a", 100);
  (void)core.on_link_down(ann.id(), now);
  (void)pass(2s);
  ASSERT_EQ(core.find(ann.id())->health, member_health::dead);
  (void)core.on_link_up(ann.id(), now);
  const auto out = hear(ann, summary{false, {{ann.id(), 5, true}, {mine.id(), 10, true}}},
                        {sign_advert(ann, 5, advert("a"))});
  std::vector<std::uint64_t> told;
  for (const gossip_message& m : said(out, ann.id())) {
    for (const signed_update& u : m.updates) {
      if (subject_of(u) == ann.id()) {
        told.push_back(incarnation_of(u));
      }
    }
  }
  EXPECT_EQ(told, std::vector<std::uint64_t>{100});
}

TEST_F(membership_unit, an_accusation_of_another_makes_it_look_and_nothing_more) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  const effects all = hear(ann, news{}, {sign_suspicion(ann, bob.id(), 1)});
  EXPECT_THAT(only<member_changed>(all), IsEmpty());
  const auto asked = said(all, bob.id());
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<ping>(asked[0].body));
  // The accused is told what of.
  EXPECT_EQ(asked[0].updates.at(0), signed_update{sign_suspicion(ann, bob.id(), 1)});
}

TEST_F(membership_unit, after_one_forged_update_the_link_is_not_listened_to) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  signed_advert forged = sign_advert(ann, 9, advert("not_b"));
  forged.node = bob.id();
  (void)hear(ann, news{}, {forged});
  EXPECT_EQ(core.find(bob.id())->advert, advert("b"));
  const auto next = core.on_gossip(ann.id(), encode_gossip({news{}, {}}), now);
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, errc::malformed);
  (void)core.on_link_up(ann.id(), now);
  EXPECT_TRUE(core.on_gossip(ann.id(), encode_gossip({news{}, {}}), now));
}

TEST_F(membership_unit, refuses_bytes_that_are_no_gossip_and_floods) {
  (void)core.on_link_up(ann.id(), now);
  const auto refused = core.on_gossip(ann.id(), std::vector<std::byte>(9), now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::malformed);
  const std::vector<std::byte> bytes = encode_gossip({ping{1}, {}});
  std::uint32_t taken = 0;
  auto answer = core.on_gossip(ann.id(), bytes, now);
  for (; answer; answer = core.on_gossip(ann.id(), bytes, now)) {
    ++taken;
    ASSERT_LE(taken, limits::gossip_allowance);
  }
  EXPECT_EQ(answer.error().code, errc::over_limit);
  EXPECT_TRUE(core.on_gossip(ann.id(), bytes, now + 1s));
}

TEST_F(membership_unit, its_own_halt_is_no_evidence_against_others) {
  (void)meet(ann, "a");
  pass_answered(500ms, ann);
  (void)said(pass(150ms), ann.id()); // a ping is open by now
  now += 1h;
  EXPECT_THAT(only<member_changed>(core.on_tick(now)), IsEmpty());
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
}

TEST_F(membership_unit, its_own_halt_does_not_use_up_the_time_of_a_suspect) {
  (void)meet(ann, "a");
  (void)core.on_link_down(ann.id(), now);
  (void)pass(100ms);
  now += 1h;
  EXPECT_THAT(only<member_changed>(core.on_tick(now)), IsEmpty());
  EXPECT_EQ(core.find(ann.id())->health, member_health::suspect);
  (void)pass(600ms);
  EXPECT_EQ(core.find(ann.id())->health, member_health::dead);
}

TEST_F(membership_unit, the_dead_behind_a_link_are_told_so_now_and_then) {
  (void)meet(ann, "a");
  (void)pass(10s); // silent all the time
  ASSERT_EQ(core.find(ann.id())->health, member_health::dead);
  const auto told = said(pass(7s), ann.id());
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(subject_of(told[0].updates.at(0)), ann.id());
  EXPECT_TRUE(std::holds_alternative<signed_suspicion>(told[0].updates[0]));
}

TEST_F(membership_unit, leaving_is_told_to_all_and_ends_everything) {
  (void)meet(ann, "a");
  (void)meet(bob, "b");
  const effects all = core.leave(now);
  for (const secret_key* peer : {&ann, &bob}) {
    const auto told = said(all, peer->id());
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_TRUE(is_genuine(told[0].updates.at(0)));
    EXPECT_EQ(incarnation_of(told[0].updates.at(0)), 11U);
  }
  EXPECT_EQ(core.find(mine.id())->health, member_health::left);
  EXPECT_THAT(pass(2s), IsEmpty());
  EXPECT_THAT(hear(ann, ping{1}), IsEmpty());
}

TEST_F(membership_unit, who_left_is_gone_until_it_starts_anew) {
  (void)meet(ann, "a", 3);
  (void)hear(ann, news{}, {sign_farewell(ann, 2)}); // of an earlier life
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
  (void)hear(ann, news{}, {sign_farewell(ann, 4)});
  EXPECT_EQ(core.find(ann.id())->health, member_health::left);
  (void)core.on_link_down(ann.id(), now);
  EXPECT_THAT(only<want_link>(pass(10s)), IsEmpty());
  (void)meet(ann, "a", 4);
  EXPECT_EQ(core.find(ann.id())->health, member_health::left);
  (void)hear(ann, news{}, {sign_advert(ann, 5, advert("a"))});
  EXPECT_EQ(core.find(ann.id())->health, member_health::alive);
}

TEST_F(membership_unit, forgets_the_dead_in_the_end) {
  (void)meet(ann, "a");
  (void)core.on_link_down(ann.id(), now);
  (void)pass(700ms);
  ASSERT_EQ(core.find(ann.id())->health, member_health::dead);
  (void)pass(600s);
  EXPECT_EQ(core.find(ann.id()), nullptr);
  EXPECT_THAT(core.members(), SizeIs(1));
}

TEST(membership_core, only_the_allowed_with_roles_they_may_have_are_members) {
  const secret_key mine = key(1);
  const secret_key ann = key(2);
  const secret_key bob = key(3);
  bool withdrawn = false;
  membership_core core{mine, advert("me"), 1, {}, 1, [&](const node_id& n) {
                         return n == ann.id() && !withdrawn
                                    ? std::optional{role_set{}.add(role::worker)}
                                    : std::nullopt;
                       }};
  (void)core.on_link_up(ann.id(), start);
  EXPECT_THAT(core.on_link_up(bob.id(), start), IsEmpty());
  node_advert a = advert("a");
  const signed_update b = sign_advert(bob, 1, advert("b"));
  a.roles.add(role::ledger);
  (void)core.on_gossip(ann.id(), encode_gossip({news{}, {sign_advert(ann, 1, a), b}}), start);
  (void)core.on_gossip(bob.id(), encode_gossip({news{}, {b}}), start);
  EXPECT_THAT(core.members(), SizeIs(1));
  (void)core.on_gossip(ann.id(), encode_gossip({news{}, {sign_advert(ann, 2, advert("a"))}}),
                       start);
  EXPECT_THAT(core.members(), SizeIs(2));
  withdrawn = true;
  for (int i = 1; i < 20; ++i) {
    (void)core.on_tick(start + i * 25ms);
  }
  EXPECT_EQ(core.find(ann.id())->health, member_health::dead);
}

const membership_options few{.members_max = 64};

TEST(membership_core, who_is_linked_has_a_place_before_who_is_only_told_of) {
  const secret_key mine = key(1);
  membership_core core{mine, advert("me"), 1, few, 1, anyone};
  for (std::uint8_t n = 2; n < 11; ++n) {
    const secret_key teller = key(n);
    (void)core.on_link_up(teller.id(), start);
    std::vector<signed_update> updates = ghosts(
        static_cast<std::uint8_t>(30 + n * limits::introductions_max), limits::introductions_max);
    updates.emplace_back(sign_advert(teller, 1, advert("t" + std::to_string(n))));
    (void)core.on_gossip(teller.id(), encode_gossip({news{}, updates}), start);
  }
  EXPECT_THAT(core.members(), SizeIs(10));
  for (std::uint8_t n = 11; n < 28; ++n) {
    const secret_key fresh = key(n);
    (void)core.on_link_up(fresh.id(), start);
    (void)core.on_gossip(fresh.id(), encode_gossip({news{}, {sign_advert(fresh, 1, advert("f"))}}),
                         start);
    EXPECT_NE(core.find(fresh.id()), nullptr) << static_cast<int>(n);
  }
}

TEST(membership_core, holds_no_more_members_than_it_may_and_prefers_the_living) {
  const secret_key mine = key(1);
  membership_core core{mine, advert("me"), 1, few, 1, anyone};
  std::vector<secret_key> keys;
  for (std::uint8_t n = 2; n < 2 + few.members_max; ++n) {
    keys.push_back(key(n));
  }
  const auto meet = [&core](const secret_key& peer, time_point now) {
    (void)core.on_link_up(peer.id(), now);
    (void)core.on_gossip(peer.id(), encode_gossip({news{}, {sign_advert(peer, 1, advert("p"))}}),
                         now);
  };
  for (const secret_key& k : keys) {
    meet(k, start);
  }
  EXPECT_THAT(core.members(), SizeIs(few.members_max));
  EXPECT_EQ(core.find(keys.back().id()), nullptr);
  (void)core.on_gossip(keys[0].id(), encode_gossip({news{}, {sign_farewell(keys[0], 1)}}), start);
  meet(keys.back(), start);
  EXPECT_NE(core.find(keys.back().id()), nullptr);
  EXPECT_EQ(core.find(keys[0].id()), nullptr);
  EXPECT_THAT(core.members(), SizeIs(few.members_max));
}

TEST_F(membership_unit, hands_on_notices_of_invitations_and_bounds_them) {
  (void)meet(ann, "a");
  const notices told{{{std::byte{1}}, {}}};
  EXPECT_EQ(only<heard_notices>(hear(ann, told)).at(0).tokens, told.tokens);
  result<effects> last = effects{};
  for (int i = 0; i < 100 && last; ++i) {
    last = core.on_gossip(ann.id(), encode_gossip({told, {}}), now);
  }
  EXPECT_EQ(last.error().code, errc::over_limit);
}

} // namespace
} // namespace ovir::actors
