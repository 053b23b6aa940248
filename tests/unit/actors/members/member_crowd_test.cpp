#include "actors/members/member_latest.hpp"
#include "actors/members/membership_core.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;
using crowd_time = membership_core::time_point;
using crowd_effects = membership_core::effects;

secret_key crowd_key(std::uint16_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = static_cast<std::byte>(n & 0xffU);
  seed[1] = static_cast<std::byte>(n >> 8U);
  seed[2] = std::byte{0x33};
  return secret_key::from_seed(seed);
}

node_advert crowd_advert(std::uint16_t n) {
  node_advert a;
  a.name = "n" + std::to_string(n);
  a.address = a.name + ":1";
  a.roles.add(role::worker);
  return a;
}

constexpr std::uint16_t peers_met = 12;

/// One core in a crowd of members that the test plays: 1 to `peers_met`, all linked.
struct member_crowd : testing::Test {
  std::vector<secret_key> keys;
  std::map<node_id, std::uint16_t> numbers;
  std::unique_ptr<membership_core> core;
  crowd_time now{1h};
  std::set<std::uint16_t> silent; ///< answer no pings

  explicit member_crowd(std::size_t lists_above = limits::lists_above) {
    for (std::uint16_t n = 0; n < 40; ++n) {
      keys.push_back(crowd_key(n));
      numbers[keys[n].id()] = n;
    }
    membership_options options;
    options.full_mesh_max = 8;
    options.lists_above = lists_above;
    core = std::make_unique<membership_core>(
        keys[0], crowd_advert(0), 10, options, 1,
        [](const node_id&) { return std::optional{member_roles}; });
    for (std::uint16_t n = 1; n <= peers_met; ++n) {
      (void)core->on_link_up(keys[n].id(), now);
      (void)hear(n, news{}, {advert(n, 1)});
    }
    (void)pass(100ms);
  }

  [[nodiscard]] signed_update advert(std::uint16_t n, std::uint64_t incarnation) const {
    return sign_advert(keys[n], incarnation, crowd_advert(n));
  }
  [[nodiscard]] signed_update accusation(std::uint16_t by, std::uint16_t of,
                                         std::uint64_t incarnation = 1) const {
    return sign_suspicion(keys[by], keys[of].id(), incarnation);
  }
  crowd_effects hear(std::uint16_t from, gossip_body body, std::vector<signed_update> updates = {},
                     std::vector<known_node> counted = {}) {
    auto out = core->on_gossip(
        keys[from].id(), encode_gossip({std::move(body), std::move(updates), std::move(counted)}),
        now);
    EXPECT_TRUE(out) << out.error().message;
    return out ? std::move(*out) : crowd_effects{};
  }
  /// Time passes; those that are linked answer pings.
  crowd_effects pass(std::chrono::milliseconds span) {
    crowd_effects all;
    for (const crowd_time end = now + span; now < end;) {
      now += 25ms;
      crowd_effects some = core->on_tick(now);
      for (std::size_t i = 0; i < some.size(); ++i) {
        const auto* const s = std::get_if<send_gossip>(&some[i]);
        const std::uint16_t to = s == nullptr ? 0 : numbers.at(s->to);
        const auto message = s == nullptr ? gossip_message{} : *decode_gossip(s->bytes);
        if (const auto* p = std::get_if<ping>(&message.body);
            p != nullptr && !silent.contains(to)) {
          for (auto& e : hear(to, ping_answer{p->nonce})) {
            some.push_back(std::move(e));
          }
        }
      }
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    return all;
  }
  [[nodiscard]] std::vector<gossip_message> said(const crowd_effects& all,
                                                 std::optional<std::uint16_t> to = {}) const {
    std::vector<gossip_message> out;
    for (const membership_effect& e : all) {
      if (const auto* s = std::get_if<send_gossip>(&e); s != nullptr && (!to || s->to == id(*to))) {
        out.push_back(*decode_gossip(s->bytes));
      }
    }
    return out;
  }
  template <class Effect>
  static std::vector<Effect> only(const crowd_effects& all) {
    std::vector<Effect> out;
    for (const membership_effect& e : all) {
      if (const auto* wanted = std::get_if<Effect>(&e)) {
        out.push_back(*wanted);
      }
    }
    return out;
  }
  [[nodiscard]] const node_id& id(std::uint16_t n) const { return keys[n].id(); }
  [[nodiscard]] std::optional<member_health> health(std::uint16_t n) const {
    const member* const m = core->find(id(n));
    return m == nullptr ? std::nullopt : std::optional{m->health};
  }
  [[nodiscard]] std::chrono::milliseconds suspicion() const {
    return std::bit_width(core->members().size()) * 600ms + 200ms;
  }
};

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

// News by lists (member_latest.hpp)

struct member_lists : member_crowd {
  explicit member_lists(bool settled = true) : member_crowd(0) {
    if (settled) { // no newcomer any more
      (void)pass(25s);
    }
  }

  /// The first list it sends to anyone.
  [[nodiscard]] latest list() {
    for (int i = 0; i < 80; ++i) {
      for (const gossip_message& m : said(pass(25ms))) {
        if (const auto* const l = std::get_if<latest>(&m.body)) {
          return *l;
        }
      }
    }
    ADD_FAILURE() << "no list in two seconds";
    return {};
  }
  [[nodiscard]] static latest_answer answer_in(const std::vector<gossip_message>& all) {
    for (const gossip_message& m : all) {
      if (const auto* const a = std::get_if<latest_answer>(&m.body)) {
        return *a;
      }
    }
    return {};
  }
  [[nodiscard]] static told_case case_of(const signed_update& word) {
    const auto& s = std::get<signed_suspicion>(word);
    return {head_of(s.subject), s.incarnation, {{head_of(s.accuser), s.proof}}};
  }
};

TEST_F(member_lists, updates_are_told_to_who_does_not_list_them_and_to_nobody_else) {
  (void)hear(1, news{}, {advert(7, 2)});
  const latest mine = list();
  EXPECT_THAT(said(hear(2, mine)), IsEmpty()) << "who lists the same lacks nothing";
  const auto told = said(hear(2, latest{5, {}}), 2);
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(std::any_of(told[0].updates.begin(), told[0].updates.end(), [&](const auto& u) {
    return subject_of(u) == id(7) && incarnation_of(u) == 2;
  }));
  (void)pass(15s); // others told of it by then
  for (const gossip_message& m : said(hear(2, latest{6, {}}), 2)) {
    EXPECT_TRUE(std::none_of(m.updates.begin(), m.updates.end(),
                             [&](const auto& u) { return subject_of(u) == id(7); }));
  }
}

TEST_F(member_lists, what_is_not_known_is_asked_for_and_what_is_asked_for_is_told) {
  const latest_answer asks = answer_in(said(hear(3, latest{9, {0x1231, 0x4563, 0x7890}}), 3));
  EXPECT_EQ(asks.wanted, (std::vector<std::uint32_t>{0x1230, 0x4560})) << "not who is not counted";
  (void)hear(1, news{}, {advert(7, 2)});
  const latest mine = list();
  latest_answer wants{mine.salt, {}, {}, {}};
  for (const std::uint32_t mark : mine.marks) {
    wants.wanted.push_back(mark & ~3U);
  }
  std::size_t found = 0;
  for (const gossip_message& m : said(hear(4, wants), 4)) {
    for (const signed_update& u : m.updates) {
      found += subject_of(u) == id(7) && incarnation_of(u) == 2 ? 1 : 0;
    }
  }
  EXPECT_EQ(found, 1U);
}

TEST_F(member_lists, a_list_of_nothing_but_nodes_that_are_not_counted_asks_who_is_counted_here) {
  (void)hear(1, news{}, {advert(30, 5)}); // only heard of
  const latest asks{9, {latest_mark(9, id(7), 1), latest_mark(9, id(30), 5), 0x1230}};
  const auto told = said(hear(3, asks), 3);
  EXPECT_EQ(answer_in(told).counted, (std::vector<std::uint32_t>{latest_mark(9, id(7), 1)}));
  EXPECT_THAT(answer_in(told).wanted, IsEmpty());
  for (const gossip_message& m : told) {
    EXPECT_THAT(m.updates, IsEmpty());
  }
}

TEST_F(member_lists, three_neighbours_that_were_asked_make_a_member_and_two_do_not) {
  (void)hear(1, news{}, {advert(30, 5)});
  std::map<std::uint16_t, std::uint64_t> asked; // with this salt
  for (const crowd_time end = now + 10s; now < end;) {
    for (const membership_effect& e : pass(25ms)) {
      const auto* const s = std::get_if<send_gossip>(&e);
      const auto message = s == nullptr ? gossip_message{} : *decode_gossip(s->bytes);
      const auto* const list = std::get_if<latest>(&message.body);
      if (list != nullptr && list->marks.size() == 1 &&
          list->marks[0] == latest_mark(list->salt, id(30), 5)) {
        asked[numbers.at(s->to)] = list->salt;
      }
    }
  }
  asked.erase(1); // who told of it counts it
  ASSERT_GE(asked.size(), 3U) << "neighbours in turn";
  const auto answer = [&](std::uint16_t by) {
    const std::uint64_t salt = asked.at(by);
    (void)hear(by, latest_answer{salt, {}, {latest_mark(salt, id(30), 5)}, {}});
  };
  auto by = asked.begin();
  answer(by->first);
  answer(by->first);
  EXPECT_EQ(health(30), std::nullopt) << "one beside who told of it";
  answer((++by)->first);
  EXPECT_EQ(health(30), member_health::alive);
}

TEST_F(member_lists, what_a_summary_names_and_is_not_known_is_asked_for_by_marks) {
  bucket_set buckets;
  for (const std::uint16_t n : {7, 8, 30}) {
    buckets.set(bucket_of(id(n)));
  }
  const summary theirs{true, {{id(7), 9, true}, {id(8), 1, true}, {id(30), 5, true}}, buckets};
  const latest_answer asks = answer_in(said(hear(3, theirs), 3));
  EXPECT_THAT(asks.wanted, testing::UnorderedElementsAre(latest_mark(asks.salt, id(7), 9),
                                                         latest_mark(asks.salt, id(30), 5)));
}

TEST_F(member_lists, what_is_asked_for_by_marks_is_told_though_it_came_long_ago) {
  (void)pass(60s);
  const latest_answer wants{4, {latest_mark(4, id(7), 1), 0x1230}, {}, {}};
  std::size_t told = 0;
  for (const gossip_message& m : said(hear(3, wants), 3)) {
    for (const signed_update& u : m.updates) {
      EXPECT_EQ(u, advert(7, 1));
      ++told;
    }
  }
  EXPECT_EQ(told, 1U);
}

TEST_F(member_lists, digests_leave_out_what_came_just_now_but_for_some_that_compare_all) {
  std::size_t left_out = 0;
  std::size_t compared = 0;
  for (std::uint64_t incarnation = 2; incarnation < 120; ++incarnation) {
    (void)hear(1, news{}, {advert(7, incarnation)});
    for (const gossip_message& m : said(pass(3s))) {
      if (const auto* const sums = std::get_if<digests>(&m.body)) {
        ++(sums->sums[bucket_of(id(7))] == 0xffffffffU ? left_out : compared);
        EXPECT_NE(sums->sums[bucket_of(id(8))], 0xffffffffU);
      }
    }
  }
  EXPECT_GT(left_out, 4 * compared);
  EXPECT_GT(compared, 0U);
}

TEST_F(member_lists, who_is_vouched_for_after_it_was_accused_is_looked_at) {
  told_case all{head_of(id(30)), 5, {}};
  for (const std::uint16_t by : {1, 2, 3}) {
    const signed_update word = accusation(by, 30, 5);
    all.words.push_back(case_of(word).words[0]);
  }
  (void)hear(4, latest_answer{1, {}, {}, {all}}); // of one that is not known here
  (void)hear(1, news{}, {advert(30, 5)});
  const std::vector<known_node> line{{id(30), 5, true}};
  (void)hear(2, news{}, {}, line);
  const crowd_effects out = hear(3, news{}, {}, line);
  EXPECT_EQ(health(30), member_health::alive);
  const auto wanted = only<want_link>(out);
  EXPECT_TRUE(std::any_of(wanted.begin(), wanted.end(),
                          [&](const want_link& w) { return w.to == id(30); }));
}

/// Before it has settled.
struct member_newcomer : member_lists {
  member_newcomer() : member_lists(false) {}
};

TEST_F(member_newcomer, what_is_learned_from_summaries_is_neither_listed_nor_told) {
  (void)hear(1, news{}, {advert(30, 5)});
  const std::vector<known_node> line{{id(30), 5, true}};
  (void)hear(2, news{}, {}, line);
  (void)hear(3, news{}, {}, line);
  ASSERT_EQ(health(30), member_health::alive);
  for (int i = 0; i < 4; ++i) {
    const latest mine = list();
    for (const std::uint32_t mark : mine.marks) {
      EXPECT_NE(mark & ~3U, latest_mark(mine.salt, id(30), 5));
    }
  }
  for (const gossip_message& m : said(hear(2, latest{5, {0x1231}}), 2)) {
    EXPECT_TRUE(std::none_of(m.updates.begin(), m.updates.end(),
                             [&](const auto& u) { return subject_of(u) == id(30); }));
  }
  // Who finds it on a list lists it, too, and does not ask for it.
  const latest theirs{6, {latest_mark(6, id(30), 5) | 1U}};
  EXPECT_THAT(answer_in(said(hear(4, theirs), 4)).wanted, IsEmpty());
  const latest mine = list();
  EXPECT_TRUE(std::any_of(mine.marks.begin(), mine.marks.end(), [&](std::uint32_t mark) {
    return mark == (latest_mark(mine.salt, id(30), 5) | 1U);
  }));
}

TEST_F(member_lists, marks_of_three_neighbours_make_a_member_and_those_of_two_do_not) {
  (void)hear(1, news{}, {advert(30, 5)});
  EXPECT_EQ(health(30), std::nullopt);
  const latest mine = list();
  latest theirs{mine.salt, {}};
  for (const std::uint32_t mark : mine.marks) {
    theirs.marks.push_back(mark | 1U); // they count all of these
  }
  (void)hear(2, theirs);
  (void)hear(2, theirs);
  EXPECT_EQ(health(30), std::nullopt);
  (void)hear(3, theirs);
  EXPECT_EQ(health(30), member_health::alive);
}

TEST_F(member_lists, a_case_of_three_accusers_makes_suspect_and_dead_and_one_of_two_does_not) {
  told_case all = case_of(accusation(1, 7));
  all.words.push_back(case_of(accusation(2, 7)).words[0]);
  (void)hear(4, latest_answer{1, {}, {}, {all}});
  EXPECT_EQ(health(7), member_health::alive);
  // A case that nobody told of has no mark here; theirs of three is asked for.
  all.words.push_back(case_of(accusation(3, 7)).words[0]);
  silent.insert(7);
  (void)hear(4, latest_answer{1, {}, {}, {all}});
  EXPECT_EQ(health(7), member_health::suspect);
  const latest_answer told = answer_in(said(hear(5, latest{3, {}}), 5));
  ASSERT_THAT(told.cases, SizeIs(1));
  EXPECT_THAT(told.cases[0].words, SizeIs(3));
  (void)pass(suspicion());
  EXPECT_EQ(health(7), member_health::dead);
}

TEST_F(member_lists, forged_words_of_a_case_end_the_link_and_are_not_told_on) {
  told_case forged = case_of(accusation(1, 7));
  forged.words[0].proof.bytes[3] ^= 1U;
  (void)hear(4, latest_answer{1, {}, {}, {forged}});
  EXPECT_FALSE(core->on_gossip(id(4), encode_gossip({news{}, {}, {}}), now));
  EXPECT_THAT(answer_in(said(hear(5, latest{3, {}}), 5)).cases, IsEmpty());
}

TEST_F(member_lists, one_peer_that_lists_what_there_is_not_gets_short_answers_and_changes_nothing) {
  latest lies{1, {}};
  for (std::uint32_t n = 0; n < limits::latest_marks_max; ++n) {
    lies.marks.push_back(n * 2'654'435'761U | 3U);
  }
  for (int i = 0; i < 40; ++i) {
    lies.salt = static_cast<std::uint64_t>(i);
    const crowd_effects out = hear(6, lies);
    EXPECT_THAT(only<member_changed>(out), IsEmpty());
    EXPECT_LE(answer_in(said(out, 6)).wanted.size(), limits::latest_answer_max);
    (void)pass(1s);
  }
  for (std::uint16_t n = 1; n <= peers_met; ++n) {
    EXPECT_EQ(health(n), member_health::alive) << n;
  }
}

} // namespace
} // namespace ovir::actors
