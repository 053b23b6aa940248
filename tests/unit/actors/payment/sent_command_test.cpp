// Which answers of the keeper settle a command that was sent more than once.
#include "actors/payment/sent_command.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

ledger::message promise_for(std::uint64_t id) { return {id, ledger::promise{}}; }

ledger::message refusal_for(std::uint64_t id) {
  return {id, ledger::refusal{error{errc::invalid_argument, "the worker has no stake"}}};
}

sent_command sent_as(std::uint64_t id) {
  sent_command s;
  s.id = id;
  return s;
}

TEST(sent_command, is_settled_by_any_answer_to_its_last_sending) {
  sent_command s = sent_as(7);
  EXPECT_TRUE(s.answered_by(promise_for(7)));
  EXPECT_TRUE(s.answered_by(refusal_for(7)));
  EXPECT_FALSE(s.answered_by(promise_for(8)));
  s.number_anew(9);
  EXPECT_TRUE(s.answered_by(promise_for(9)));
  EXPECT_TRUE(s.answered_by(refusal_for(9)));
}

/// The first sending was refused, the second entered; the refusal comes late.
TEST(sent_command, is_not_settled_by_a_refusal_that_is_older_than_its_last_sending) {
  sent_command s = sent_as(7);
  s.number_anew(8);
  EXPECT_FALSE(s.answered_by(refusal_for(7)));
  EXPECT_FALSE(s.answered_by({7, ledger::request_report{}}));
}

/// What the keeper promised is entered, whichever sending it was.
TEST(sent_command, is_settled_by_a_promise_for_an_earlier_sending) {
  sent_command s = sent_as(7);
  s.number_anew(8);
  s.number_anew(11);
  EXPECT_TRUE(s.answered_by(promise_for(7)));
  EXPECT_TRUE(s.answered_by(promise_for(8)));
  EXPECT_FALSE(s.answered_by(promise_for(9)));
}

TEST(sent_command, remembers_its_latest_sendings_only) {
  sent_command s = sent_as(1);
  for (std::uint64_t id = 2; id <= limits::sendings_kept_max + 2; ++id) {
    s.number_anew(id);
  }
  EXPECT_EQ(s.earlier.size(), limits::sendings_kept_max);
  EXPECT_FALSE(s.answered_by(promise_for(1)));
  EXPECT_TRUE(s.answered_by(promise_for(2)));
}

} // namespace
} // namespace ovir::actors
