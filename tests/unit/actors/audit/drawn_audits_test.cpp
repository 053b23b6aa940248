#include "actors/audit/drawn_audits.hpp"
#include "messages/limits/audit.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using time_point = drawn_audits::time_point;
using std::chrono::seconds;

node_id member_at(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}
digest request_at(std::uint8_t n) {
  digest d;
  d.bytes[0] = n;
  return d;
}
constexpr std::size_t receipt_bytes = 100;
time_point time_at(std::uint64_t s) { return time_point{seconds{1'000 + s}}; }

ledger::audit_duty duty_of(std::uint8_t of, std::uint32_t window, const node_id& verifier) {
  ledger::audit_duty d{request_at(of), {}, {verifier}};
  d.unit.window = window;
  d.unit.signer = member_at(2);
  d.unit.request.bytes[1] = of;
  d.driver = member_at(1);
  return d;
}
ledger::audit_entered entered(std::uint8_t of, std::uint32_t window, const node_id& verifier) {
  const ledger::audit_duty d = duty_of(of, window, verifier);
  return {d.about, d.unit.request, window, d.unit.signer, verifier, d.driver};
}

TEST(drawn_audits, a_receipt_is_offered_until_the_log_says_that_it_was_looked_at) {
  drawn_audits audits{member_at(1)};
  ledger::audit_news begun;
  begun.accrued = {request_at(1)}; // while the request runs
  audits.take(begun);
  audits.hold(request_at(1), receipt_bytes, time_at(0));
  EXPECT_TRUE(audits.due(time_at(0)).offers.empty());
  ledger::audit_news drawn;
  drawn.drawn = {request_at(1)};
  drawn.duties = {duty_of(1, 3, member_at(7)), duty_of(1, 4, member_at(7)),
                  duty_of(1, 4, member_at(8))};
  audits.take(drawn);
  EXPECT_EQ(audits.due(time_at(1)).offers.size(), 2U);
  EXPECT_TRUE(audits.due(time_at(2)).offers.empty());
  EXPECT_EQ(audits.due(time_at(1 + limits::audit_offer_again.count())).offers.size(), 2U)
      << "again";
  ledger::audit_news looked;
  looked.audits = {entered(1, 3, member_at(7)), entered(1, 4, member_at(7))};
  looked.settled = {request_at(1)};
  audits.take(looked);
  const auto rest = audits.due(time_at(60));
  ASSERT_EQ(rest.offers.size(), 1U);
  EXPECT_EQ(rest.offers.front().verifier, member_at(8));
  looked.audits = {entered(1, 4, member_at(8))};
  looked.settled.clear();
  audits.take(looked);
  const auto end = audits.due(time_at(61));
  EXPECT_TRUE(end.unaudited.empty());
  EXPECT_EQ(end.over, std::vector<digest>{request_at(1)});
  EXPECT_EQ(audits.held(), 0U);
}

TEST(drawn_audits, what_is_not_entered_or_that_nobody_is_drawn_for_goes_to_any_verifier) {
  drawn_audits audits{member_at(1)};
  audits.hold(request_at(1), receipt_bytes, time_at(0));
  EXPECT_TRUE(audits.due(time_at(1)).undrawn.empty());
  const auto never = audits.due(time_at(limits::audit_entry_wait.count()));
  EXPECT_EQ(never.undrawn.size(), 1U);
  EXPECT_EQ(never.unentered.size(), 1U);
  EXPECT_EQ(audits.held(), 0U);

  audits.hold(request_at(2), receipt_bytes, time_at(0)); // entered where there are no verifiers
  ledger::audit_news news;
  news.accrued = {request_at(2)};
  news.undrawn = {request_at(2)};
  audits.take(news);
  EXPECT_EQ(audits.due(time_at(1)).undrawn.size(), 1U);
  EXPECT_TRUE(audits.due(time_at(2)).undrawn.empty()) << "once";

  audits.hold(request_at(3), receipt_bytes, time_at(0)); // its verifier has not the layers
  news = {};
  news.accrued = news.drawn = {request_at(3)};
  news.duties = {duty_of(3, 0, member_at(7))};
  audits.take(news);
  EXPECT_EQ(audits.due(time_at(1)).offers.size(), 1U);
  audits.note_lacking(request_at(3), member_at(7), member_at(2));
  const auto passed = audits.due(time_at(20));
  EXPECT_EQ(passed.offers.size(), 1U) << "it may have fetched them";
  EXPECT_EQ(passed.undrawn.size(), 1U);
  audits.note_lacking(request_at(3), member_at(7), member_at(2));
  EXPECT_TRUE(audits.due(time_at(60)).undrawn.empty()) << "once";
  news = {};
  news.settled = {request_at(3)};
  audits.take(news);
  const auto end = audits.due(time_at(limits::audit_lacking_lasts.count()));
  EXPECT_EQ(end.over.size(), 1U);
  EXPECT_TRUE(end.unaudited.empty()) << "others looked";
}

TEST(drawn_audits, what_nobody_looked_at_is_counted_in_the_end) {
  drawn_audits audits{member_at(1)};
  audits.hold(request_at(1), receipt_bytes, time_at(0));
  ledger::audit_news news;
  news.accrued = news.drawn = news.settled = {request_at(1)};
  news.duties = {duty_of(1, 0, member_at(7))};
  audits.take(news);
  EXPECT_TRUE(audits.due(time_at(1)).unaudited.empty());
  EXPECT_EQ(audits.due(time_at(limits::held_receipt_lasts.count())).unaudited,
            std::vector<digest>{request_at(1)});
  EXPECT_EQ(audits.held(), 0U);
}

TEST(drawn_audits, receipts_are_held_within_a_bound_and_none_is_dropped_unseen) {
  drawn_audits audits{member_at(1)};
  const std::size_t half = limits::held_receipts_bytes_max / 2;
  for (std::uint8_t n = 1; n <= 4; ++n) {
    audits.hold(request_at(n), half, time_at(n));
  }
  EXPECT_EQ(audits.held(), 2U);
  const auto crowded_out = audits.due(time_at(5));
  EXPECT_EQ(crowded_out.undrawn, (std::vector<digest>{request_at(1), request_at(2)}));
  EXPECT_EQ(crowded_out.over, crowded_out.undrawn);
}

TEST(drawn_audits, receipts_of_parts_count_together) {
  drawn_audits audits{member_at(1)};
  const std::size_t third = limits::held_receipts_bytes_max / 3;
  audits.hold(request_at(1), third, time_at(1));
  audits.hold(request_at(2), third, time_at(2));
  audits.hold(request_at(1), third, time_at(3));
  EXPECT_EQ(audits.held(), 2U);
  EXPECT_TRUE(audits.due(time_at(4)).over.empty());
  audits.hold(request_at(2), third, time_at(5));
  EXPECT_EQ(audits.held(), 1U);
  EXPECT_EQ(audits.due(time_at(6)).over, std::vector<digest>{request_at(1)});
  audits.hold(request_at(3), third, time_at(7));
  EXPECT_EQ(audits.held(), 2U) << "all parts of the first have made room";
}

TEST(drawn_audits, a_verifier_gets_no_more_at_once_than_it_may_and_each_in_the_end) {
  drawn_audits audits{member_at(1)};
  constexpr std::uint8_t count = 3 * limits::audit_offers_at_once;
  ledger::audit_news news;
  for (std::uint8_t n = 1; n <= count; ++n) {
    audits.hold(request_at(n), receipt_bytes, time_at(0));
    news.duties.push_back(duty_of(n, 0, member_at(7)));
    news.accrued.push_back(request_at(n));
    news.drawn.push_back(request_at(n));
    news.settled.push_back(request_at(n));
  }
  audits.take(news);
  for (std::uint8_t done = 0; done < count;) {
    const auto due = audits.due(time_at(1));
    ASSERT_EQ(due.offers.size(), limits::audit_offers_at_once);
    ledger::audit_news looked;
    for (const auto& o : due.offers) {
      looked.audits.push_back(entered(o.about.bytes[0], 0, o.verifier));
      ++done;
    }
    EXPECT_TRUE(audits.due(time_at(1)).offers.empty()) << "before the log has one of them";
    audits.take(looked);
  }
  EXPECT_TRUE(audits.due(time_at(1)).offers.empty());
  EXPECT_EQ(audits.held(), 0U);
}

TEST(drawn_audits, what_is_not_answered_is_offered_less_and_less_often) {
  drawn_audits audits{member_at(1)};
  audits.hold(request_at(1), receipt_bytes, time_at(0));
  ledger::audit_news news;
  news.accrued = news.drawn = {request_at(1)};
  news.duties = {duty_of(1, 0, member_at(7))};
  audits.take(news);
  std::size_t offers = 0;
  constexpr std::uint64_t hour = 3'600;
  for (std::uint64_t s = 0; s < hour; ++s) {
    offers += audits.due(time_at(s)).offers.size();
  }
  EXPECT_GE(offers, 8U);
  EXPECT_LE(offers, 16U);
}

TEST(drawn_audits, a_verifier_knows_its_units_by_what_their_request_is_about) {
  drawn_audits audits{member_at(7)};
  ledger::audit_news news;
  news.duties = {duty_of(1, 3, member_at(7)), duty_of(1, 4, member_at(8)),
                 duty_of(2, 0, member_at(7))};
  audits.take(news);
  audits.take(news);
  EXPECT_EQ(audits.duties(), 2U) << "each once";
  const auto own = audits.duties_of(request_at(1));
  ASSERT_EQ(own.size(), 1U);
  EXPECT_EQ(own.front().unit.window, 3U);
  EXPECT_EQ(own.front().unit.request, duty_of(1, 3, member_at(7)).unit.request);
  audits.note_seen(request_at(1), own.front(), 5, request_at(9));
  EXPECT_TRUE(audits.duties_of(request_at(1)).empty());
  EXPECT_EQ(audits.duties(), 1U);
  news = {};
  news.audits = {entered(2, 0, member_at(7))}; // by an earlier life
  audits.take(news);
  EXPECT_EQ(audits.duties(), 0U);
}

// A client asks two schedulers for the same: one's receipt says nothing of the other's work.
TEST(drawn_audits, requests_about_the_same_are_kept_apart) {
  drawn_audits audits{member_at(1)}; // drives one of them, and has to look at the other
  audits.hold(request_at(1), receipt_bytes, time_at(0));
  ledger::audit_duty own = duty_of(1, 3, member_at(7));
  ledger::audit_duty other = duty_of(1, 3, member_at(1));
  other.unit.request.bytes[1] = 9;
  other.driver = member_at(6);
  ledger::audit_news news;
  news.accrued = news.drawn = {request_at(1)};
  news.duties = {own, other};
  audits.take(news);
  const auto offers = audits.due(time_at(1)).offers;
  ASSERT_EQ(offers.size(), 1U) << "of what others drive they offer their own receipts";
  EXPECT_EQ(offers.front().verifier, member_at(7));
  ASSERT_EQ(audits.duties_of(request_at(1)).size(), 1U);
  EXPECT_EQ(audits.duties_of(request_at(1)).front().driver, member_at(6));
  news = {};
  news.audits = {{request_at(1), other.unit.request, 3, member_at(2), member_at(7), member_at(6)}};
  audits.take(news);
  EXPECT_EQ(audits.due(time_at(1'000)).offers.size(), 1U) << "the other's was looked at";
  news.audits = {entered(1, 3, member_at(7))};
  audits.take(news);
  EXPECT_TRUE(audits.due(time_at(10'000)).offers.empty());
}

// What it says may be lost on the way: an offer that comes again has nothing left to look at.
TEST(drawn_audits, what_was_looked_at_is_said_until_the_log_has_it) {
  drawn_audits audits{member_at(7)};
  ledger::audit_news news;
  news.duties = {duty_of(1, 3, member_at(7))};
  audits.take(news);
  EXPECT_TRUE(audits.unsaid(time_at(0)).empty());
  audits.note_seen(request_at(1), audits.duties_of(request_at(1)).front(), 5, request_at(9));
  const auto said = audits.unsaid(time_at(0));
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].request, duty_of(1, 3, member_at(7)).unit.request);
  EXPECT_EQ(said[0].window, 3U);
  EXPECT_EQ(said[0].layer, 5U);
  EXPECT_EQ(said[0].receipt, request_at(9));
  EXPECT_EQ(said[0].signer, member_at(2));
  EXPECT_EQ(said[0].to, member_at(7));
  EXPECT_TRUE(audits.unsaid(time_at(1)).empty());
  EXPECT_EQ(audits.unsaid(time_at(limits::audit_say_again.count())).size(), 1U) << "again";
  news = {};
  news.audits = {entered(1, 3, member_at(7))};
  audits.take(news);
  EXPECT_TRUE(audits.unsaid(time_at(1'000)).empty());
}

} // namespace
} // namespace ovir::actors
