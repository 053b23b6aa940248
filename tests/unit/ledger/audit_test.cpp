#include "ledger/audit/audit.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

namespace ovir::ledger {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

digest some(std::uint64_t n) { return hasher{"ovir/test/audit"}.update_u64(n).finish(); }

node_id person(std::uint8_t n) {
  node_id id;
  id.key.fill(n);
  return id;
}

const node_id auditor = person(1);
const node_id second = person(2);
const node_id third = person(3);
const node_id liar = person(9);

hash_chain chain_of(std::uint32_t links) { return *hash_chain::make(some(7), links); }

stated_unit unit_of(const node_id& signer, std::uint32_t window, std::uint32_t layer = 0) {
  return {signer, window, layer, some(1'000 * window + layer), some(55)};
}

/// An auditor and what it was told to do last.
class audit : public testing::Test {
protected:
  std::vector<audit_effect> finds(const stated_unit& unit, std::vector<node_id> hosts) {
    return book.differs(unit, right, hosts, 10);
  }
  template <class Effect>
  static const Effect* only(const std::vector<audit_effect>& effects) {
    return effects.size() == 1 ? std::get_if<Effect>(&effects.front()) : nullptr;
  }

  /// `second` computed what `liar` stated; `third` computes something else.
  void third_convicts_and_strikes_second(audit_case_id about) {
    const auto effects = book.answered(about, third, right, 12);
    ASSERT_EQ(effects.size(), 2U);
    EXPECT_EQ(std::get<convict_signer>(effects[0]).guilty, liar);
    EXPECT_EQ(std::get<strike_auditor>(effects[1]).host, second);
  }

  const digest right = some(56);
  track_records records;
  audit_book book{auditor, chain_of(100), records, {}};
};

TEST(hash_chain, every_link_can_be_checked_against_the_anchor_and_no_other_passes) {
  const hash_chain chain = chain_of(50);
  for (std::uint32_t i = 0; i <= 50; ++i) {
    const digest link = *chain.link(i);
    EXPECT_TRUE(follows(chain.anchor(), i, link));
    EXPECT_FALSE(follows(chain.anchor(), i + 1, link));
    EXPECT_FALSE(follows(chain.anchor(), i, some(i)));
  }
  EXPECT_EQ(chain.link(51).error().code, errc::over_limit);
  EXPECT_EQ(hash_chain::make(some(1), 0).error().code, errc::invalid_argument);
  EXPECT_EQ(hash_chain::make(some(1), limits::audit_chain_links_max + 1).error().code,
            errc::invalid_argument);
  EXPECT_FALSE(follows(chain.anchor(), ~0U, some(1))) << "a peer's index costs no hashing";
}

TEST(audit_draw, depends_on_the_link_the_head_and_the_unit) {
  const std::uint64_t drawn = audit_draw(some(1), some(2), some(3));
  EXPECT_EQ(drawn, audit_draw(some(1), some(2), some(3)));
  EXPECT_NE(drawn, audit_draw(some(4), some(2), some(3)));
  EXPECT_NE(drawn, audit_draw(some(1), some(4), some(3)));
  EXPECT_NE(drawn, audit_draw(some(1), some(2), some(4)));
}

TEST(audit_draw, a_rate_takes_its_share_and_the_whole_rate_takes_all) {
  EXPECT_TRUE(is_sampled(~0ULL, limits::ppm_one));
  EXPECT_FALSE(is_sampled(0, 0));
  EXPECT_TRUE(is_sampled(0, 1));
  std::uint64_t taken = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    taken += is_sampled(audit_draw(some(1), some(2), some(i)), 250'000) ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(taken), 5'000, 250);
}

TEST(least_audit_rate, is_where_the_inequality_begins_to_hold) {
  deterrence_terms t;
  t.unit_fee = 1'000;
  t.saved = 800;
  t.stake = 5'000;
  const std::uint64_t least = *least_audit_rate_ppm(t);
  EXPECT_NEAR(static_cast<double>(least), 133'334, 2); // LEDGER.md, section 5: b/p = 5
  t.audit_rate_ppm = least;
  EXPECT_TRUE(examine(t)->front().holds);
  t.audit_rate_ppm = least - 1;
  EXPECT_FALSE(examine(t)->front().holds);
}

TEST(least_audit_rate, says_what_to_change_where_no_rate_is_enough) {
  deterrence_terms t;
  t.unit_fee = 100;
  t.saved = 800;
  const auto rate = least_audit_rate_ppm(t);
  ASSERT_FALSE(rate);
  EXPECT_THAT(rate.error().message, HasSubstr("raise"));
}

TEST(track_records, a_reputation_is_what_standing_makes_of_the_counts) {
  track_records records;
  EXPECT_EQ(records.reputation(liar, 0), 0U);
  EXPECT_EQ(records.audit_rate(liar, 10), limits::ppm_one);
  records.apply({100, liar, work_event::valid, 300});
  EXPECT_EQ(records.reputation(liar, 100), 750'000U); // 300 of 300 + 100
  EXPECT_EQ(records.audit_rate(liar, 10), 3'334U);    // 1 / 300, rounded up
  EXPECT_EQ(records.audit_rate(liar, 50'000), 50'000U);
  for (const work_event bad : {work_event::late, work_event::missing, work_event::wrong}) {
    track_records one = records;
    one.apply({100, liar, bad, 200});
    EXPECT_EQ(one.reputation(liar, 100), 500'000U);
    EXPECT_EQ(one.audit_rate(liar, 10), limits::ppm_one) << "in a row no more";
    EXPECT_FALSE(one.convicted(liar)) << "late or missing is never a conviction";
  }
  records.apply({100, liar, work_event::convicted, 1});
  EXPECT_EQ(records.reputation(liar, 100), 0U);
  EXPECT_TRUE(records.convicted(liar));
}

TEST(track_records, silence_halves_a_reputation) {
  policy rules;
  rules.reputation_half_life_s = 1'000;
  track_records records{rules};
  records.apply({100, liar, work_event::valid, 300});
  EXPECT_EQ(records.reputation(liar, 1'099), 750'000U);
  EXPECT_EQ(records.reputation(liar, 1'100), 375'000U);
}

TEST(track_log, gives_the_same_figures_when_it_is_counted_again) {
  std::vector<std::byte> log;
  std::array<std::byte, 16> last{};
  track_records first;
  for (std::uint32_t i = 0; i < 40; ++i) {
    const track_event e{100 + i, person(static_cast<std::uint8_t>(i % 3)),
                        static_cast<work_event>(1 + i % 4), i};
    const auto bytes = encode(e, last);
    log.insert(log.end(), bytes.begin(), bytes.end());
    std::copy(bytes.end() - 16, bytes.end(), last.begin());
    first.apply(e);
  }
  const replayed_log again = replay_track_log(log);
  EXPECT_EQ(again.bytes_used, log.size());
  EXPECT_EQ(again.last, last);
  track_records second_count;
  for (const track_event& e : again.events) {
    second_count.apply(e);
  }
  ASSERT_EQ(second_count.known(), first.known());
  for (const node_id& node : first.known()) {
    EXPECT_EQ(second_count.reputation(node, 200), first.reputation(node, 200));
    EXPECT_EQ(second_count.audit_rate(node, 5), first.audit_rate(node, 5));
  }
}

TEST(track_log, ends_at_the_first_event_that_is_torn_changed_or_left_out) {
  std::vector<std::byte> log;
  std::array<std::byte, 16> last{};
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto bytes = encode({i, liar, work_event::valid, i}, last);
    log.insert(log.end(), bytes.begin(), bytes.end());
    std::copy(bytes.end() - 16, bytes.end(), last.begin());
  }
  for (std::size_t bit = 0; bit < 8 * log.size(); ++bit) {
    std::vector<std::byte> other = log;
    other[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_EQ(replay_track_log(other).bytes_used, bit / 8 / track_event_bytes * track_event_bytes);
  }
  EXPECT_EQ(replay_track_log(std::span{log}.first(130)).events.size(), 2U);
  log.erase(log.begin() + 64, log.begin() + 128);
  EXPECT_EQ(replay_track_log(log).events.size(), 1U);
}

TEST_F(audit, an_unknown_signer_is_audited_whole_and_one_with_a_past_in_part) {
  std::vector<stated_unit> units;
  for (std::uint32_t w = 0; w < 400; ++w) {
    units.push_back(unit_of(liar, w));
  }
  EXPECT_EQ(book.draw(some(1), units)->units.size(), 400U);
  book.settle(units, 10);
  const auto later = *book.draw(some(2), units);
  EXPECT_EQ(later.index, 2U);
  EXPECT_TRUE(follows(chain_of(100).anchor(), 2, later.link));
  EXPECT_NEAR(static_cast<double>(later.units.size()), 40, 25); // least_rate_ppm: a tenth
}

TEST_F(audit, uses_each_link_once_and_stops_when_there_are_no_more) {
  for (std::uint32_t i = 1; i <= 100; ++i) {
    EXPECT_EQ(book.draw(some(i), {})->index, i);
  }
  EXPECT_EQ(book.draw(some(1), {}).error().code, errc::over_limit);
}

TEST_F(audit, convicts_when_a_second_host_computes_the_same) {
  const auto asked = finds(unit_of(liar, 3), {liar, auditor, second, third});
  ASSERT_NE(only<ask_host>(asked), nullptr);
  EXPECT_EQ(only<ask_host>(asked)->host, second) << "neither the accused nor itself";
  EXPECT_FALSE(records.convicted(liar)) << "one host's word is not enough";
  const auto done = book.answered(only<ask_host>(asked)->about, second, right, 11);
  ASSERT_NE(only<convict_signer>(done), nullptr);
  EXPECT_EQ(only<convict_signer>(done)->guilty, liar);
  EXPECT_THAT(only<convict_signer>(done)->hosts, ElementsAre(auditor, second));
  EXPECT_FALSE(records.convicted(liar)) << "it is heard first";
  EXPECT_EQ(book.open_cases(), 0U);
  EXPECT_THAT(book.learn_conviction(liar, 12), IsEmpty());
  EXPECT_TRUE(records.convicted(liar));
}

TEST_F(audit, convicts_nobody_without_a_second_host) {
  auto effects = finds(unit_of(liar, 3), {liar, auditor});
  ASSERT_NE(only<wait_for_host>(effects), nullptr);
  const audit_case_id about = only<wait_for_host>(effects)->about;
  EXPECT_EQ(records.audit_rate(liar, 1), limits::ppm_one) << "but looks at all it does";
  for (std::uint32_t n = 2; n < limits::second_opinion_rounds_max; ++n) {
    ASSERT_NE(only<wait_for_host>(book.ask_again(about, std::array{liar})), nullptr);
  }
  effects = book.ask_again(about, std::array{liar});
  ASSERT_NE(only<leave_open>(effects), nullptr);
  EXPECT_FALSE(records.convicted(liar));
  EXPECT_EQ(book.open_cases(), 0U);
}

TEST_F(audit, asks_a_second_host_that_comes_later_and_one_that_was_silent_again) {
  auto effects = finds(unit_of(liar, 3), {});
  const audit_case_id about = only<wait_for_host>(effects)->about;
  effects = book.ask_again(about, std::array{second});
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_THAT(book.ask_again(about, std::array{third}), IsEmpty()) << "one at a time";
  ASSERT_NE(only<wait_for_host>(book.silent(about, second, 12)), nullptr);
  effects = book.ask_again(about, std::array{second});
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_NE(only<convict_signer>(book.answered(about, second, right, 13)), nullptr);
}

TEST_F(audit, whoever_vouches_without_looking_is_struck_when_a_third_disagrees_with_it) {
  const stated_unit unit = unit_of(liar, 3);
  auto effects = finds(unit, {second, third});
  const audit_case_id about = only<ask_host>(effects)->about;
  effects = book.answered(about, second, unit.stated, 11);
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_EQ(only<ask_host>(effects)->host, third);
  third_convicts_and_strikes_second(about);
  effects = finds(unit_of(person(8), 4), {second, third});
  EXPECT_EQ(only<ask_host>(effects)->host, third) << "the idle one is not asked again";
}

TEST_F(audit, an_auditor_that_everybody_contradicts_convicts_nobody) {
  const stated_unit unit = unit_of(liar, 3);
  auto effects = finds(unit, {second, third});
  const audit_case_id about = only<ask_host>(effects)->about;
  effects = book.answered(about, second, unit.stated, 11);
  effects = book.answered(about, third, unit.stated, 12);
  ASSERT_NE(only<leave_open>(effects), nullptr);
  EXPECT_THAT(std::string{only<leave_open>(effects)->reason}, HasSubstr("other hosts"));
  EXPECT_FALSE(records.convicted(liar));
}

// `second` may be in league with the liar, while `third` is away.
TEST_F(audit, one_host_that_contradicts_ends_no_case_before_another_was_asked) {
  const stated_unit unit = unit_of(liar, 3);
  auto effects = finds(unit, {second});
  const audit_case_id about = only<ask_host>(effects)->about;
  effects = book.answered(about, second, unit.stated, 11);
  ASSERT_NE(only<wait_for_host>(effects), nullptr);
  ASSERT_NE(only<wait_for_host>(book.ask_again(about, std::array{liar, second})), nullptr)
      << "second is not asked twice";
  effects = book.ask_again(about, std::array{second, third});
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_EQ(only<ask_host>(effects)->host, third);
  third_convicts_and_strikes_second(about);
}

TEST_F(audit, an_answer_nobody_asked_for_changes_nothing) {
  const auto asked = finds(unit_of(liar, 3), {second});
  const audit_case_id about = only<ask_host>(asked)->about;
  EXPECT_THAT(book.answered(about, third, right, 11), IsEmpty());
  EXPECT_THAT(book.answered(about, liar, right, 11), IsEmpty());
  EXPECT_THAT(book.answered(audit_case_id{99}, second, right, 11), IsEmpty());
  EXPECT_FALSE(records.convicted(liar));
  EXPECT_EQ(book.open_cases(), 1U);
}

TEST_F(audit, goes_on_to_the_next_host_when_one_is_silent) {
  auto effects = finds(unit_of(liar, 3), {second, third});
  effects = book.silent(only<ask_host>(effects)->about, second, 12);
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_EQ(only<ask_host>(effects)->host, third);
  EXPECT_FALSE(records.idle_auditor(second)) << "silence is no false word";
}

TEST_F(audit, a_planted_unit_catches_who_does_not_compute_it) {
  stated_unit unit = unit_of(liar, 3);
  unit.stated = right;
  auto effects = book.plant(unit, std::array{liar, auditor, second, third});
  ASSERT_NE(only<ask_host>(effects), nullptr);
  const audit_case_id about = only<ask_host>(effects)->about;
  EXPECT_TRUE(book.is_planted(about));
  EXPECT_EQ(only<ask_host>(effects)->host, second) << "neither who stated it nor itself";
  effects = book.answered(about, second, some(9), 11);
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(std::get<strike_auditor>(effects[0]).host, second);
  EXPECT_EQ(std::get<ask_host>(effects[1]).host, third) << "as where one contradicts";
  EXPECT_TRUE(records.idle_auditor(second));
  EXPECT_THAT(book.answered(about, third, right, 12), IsEmpty());
  EXPECT_FALSE(records.idle_auditor(third));
  EXPECT_EQ(book.open_cases(), 0U);
  EXPECT_EQ(records.audit_rate(liar, 1), limits::ppm_one) << "nothing is known of it";
  EXPECT_FALSE(records.convicted(liar));
}

TEST_F(audit, a_planted_unit_is_asked_about_as_long_and_of_as_many_as_one_that_differs) {
  stated_unit right_one = unit_of(person(8), 3);
  right_one.stated = right;
  const auto shape = [](const std::vector<audit_effect>& effects) {
    std::vector<std::pair<std::size_t, node_id>> seen;
    for (const audit_effect& e : effects) {
      const auto* const ask = std::get_if<ask_host>(&e);
      if (!std::holds_alternative<leave_open>(e)) {
        seen.emplace_back(e.index(), ask != nullptr ? ask->host : node_id{});
      }
    }
    return seen;
  };
  for (const bool one_comes : {false, true}) {
    auto wrong = finds(unit_of(liar, 3), {second, third});
    auto planted = book.plant(right_one, std::array{second, third});
    const audit_case_id a = only<ask_host>(wrong)->about;
    const audit_case_id b = only<ask_host>(planted)->about;
    for (const node_id& host : {second, third}) { // both are silent
      EXPECT_EQ(shape(wrong), shape(planted));
      wrong = book.silent(a, host, 11);
      planted = book.silent(b, host, 11);
    }
    std::uint32_t rounds = 0;
    while (only<wait_for_host>(wrong) != nullptr) {
      EXPECT_EQ(shape(wrong), shape(planted));
      const bool now = one_comes && ++rounds == 5;
      const std::vector<node_id> hosts = now ? std::vector{third} : std::vector<node_id>{};
      wrong = book.ask_again(a, hosts);
      planted = book.ask_again(b, hosts);
    }
    EXPECT_EQ(shape(wrong), shape(planted));
    (void)book.answered(a, third, right, 12);
    (void)book.answered(b, third, right, 12);
    EXPECT_EQ(book.open_cases(), 0U);
  }
}

TEST_F(audit, planted_units_leave_room_for_what_differs) {
  for (std::uint32_t w = 0; w < 2 * limits::audit_planted_max; ++w) {
    stated_unit unit = unit_of(liar, w);
    unit.stated = some(w);
    EXPECT_EQ(book.plant(unit, std::array{second}).empty(), w >= limits::audit_planted_max) << w;
    EXPECT_THAT(book.plant(unit, std::array{second}), IsEmpty()) << "twice";
  }
  EXPECT_EQ(book.open_cases(), limits::audit_planted_max);
}

TEST(planted_among, takes_each_window_equally_often_and_one_at_a_time) {
  std::mt19937_64 random{42};
  for (const auto& [drawn, rate] : {std::pair<std::size_t, std::uint64_t>{3, 50'000},
                                    {16, 50'000},
                                    {50, 50'000},
                                    {4, 1'000'000},
                                    {1, 1}}) {
    std::vector<std::uint64_t> times(drawn);
    constexpr std::uint64_t tries = 200'000;
    for (std::uint64_t i = 0; i < tries; ++i) {
      if (const auto which = planted_among(drawn, rate, random())) {
        ASSERT_LT(*which, drawn);
        ++times[*which];
      }
    }
    const double expected =
        std::min(1.0 / static_cast<double>(drawn), static_cast<double>(rate) / 1e6) * tries;
    for (const std::uint64_t n : times) {
      EXPECT_NEAR(static_cast<double>(n), expected, 5 * std::sqrt(expected) + 1) << drawn;
    }
  }
  EXPECT_FALSE(planted_among(0, 50'000, 0));
  EXPECT_FALSE(planted_among(5, 0, 0));
}

TEST_F(audit, the_same_mismatch_is_one_case_and_the_number_of_cases_is_bounded) {
  (void)finds(unit_of(liar, 0), {second});
  EXPECT_THAT(finds(unit_of(liar, 0), {second}), IsEmpty());
  for (std::uint32_t w = 1; w < limits::audit_cases_max; ++w) {
    EXPECT_NE(only<ask_host>(finds(unit_of(liar, w), {second})), nullptr);
  }
  EXPECT_NE(only<leave_open>(finds(unit_of(liar, limits::audit_cases_max), {second})), nullptr);
}

TEST_F(audit, a_conviction_by_others_closes_the_cases_about_it_and_asks_others_than_it) {
  (void)finds(unit_of(liar, 0), {second});
  const auto waiting = finds(unit_of(person(8), 0), {liar, third});
  ASSERT_EQ(only<ask_host>(waiting)->host, liar);
  const auto effects = book.learn_conviction(liar, 20);
  EXPECT_EQ(book.open_cases(), 1U);
  ASSERT_NE(only<ask_host>(effects), nullptr);
  EXPECT_EQ(only<ask_host>(effects)->host, third);
  EXPECT_TRUE(records.convicted(liar));
  EXPECT_THAT(book.draw(some(1), std::vector{unit_of(liar, 1)})->units, IsEmpty());
}

TEST_F(audit, a_fault_that_was_admitted_costs_standing_and_no_conviction) {
  book.settle(std::vector{unit_of(liar, 1), unit_of(liar, 2)}, 5);
  (void)finds(unit_of(liar, 0), {second});
  EXPECT_THAT(book.learn_admission(liar, 20), IsEmpty());
  EXPECT_EQ(book.open_cases(), 0U);
  EXPECT_FALSE(records.convicted(liar));
  EXPECT_EQ(records.audit_rate(liar, 1), limits::ppm_one) << "all it does is looked at";
}

TEST_F(audit, its_events_count_up_to_the_same_records) {
  const stated_unit unit = unit_of(liar, 3);
  book.settle(std::vector{unit_of(second, 1), unit_of(second, 2)}, 5);
  const auto asked = finds(unit, {second});
  (void)book.answered(only<ask_host>(asked)->about, second, right, 11);
  (void)book.learn_conviction(liar, 12);
  track_records again;
  for (const track_event& e : book.take_events()) {
    again.apply(e);
  }
  EXPECT_THAT(book.take_events(), IsEmpty());
  EXPECT_EQ(again.reputation(second, 20), records.reputation(second, 20));
  EXPECT_TRUE(again.convicted(liar));
}

} // namespace
} // namespace ovir::ledger
