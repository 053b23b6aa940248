// News by lists (member_latest.hpp)
#include "tests/unit/actors/members/member_crowd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

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
