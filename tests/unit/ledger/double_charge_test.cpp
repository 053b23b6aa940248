// What was computed is paid once: over reservations, schedulers and claims.
#include "ledger/rules/double_charge.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/keepers.hpp"

#include <gmock/gmock.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using ::testing::HasSubstr;

constexpr std::uint8_t driver = 5;

/// Nodes 1 and 2 entrust requests to node 5, which has stake.
class charges : public keepers {
protected:
  charges() {
    for (const std::uint8_t who : {std::uint8_t{1}, std::uint8_t{2}, driver}) {
      mint(who, 200 * credit);
    }
    EXPECT_EQ(refused(ask(driver, signed_by(driver, lock{ledger_world::node(driver), 50 * credit,
                                                         ++nonce_}))),
              "");
  }
  reserve entrusted_by(std::uint8_t payer) {
    reserve r = reservation(payer);
    r.scheduler = ledger_world::node(driver);
    EXPECT_EQ(refused(ask(payer, signed_by(payer, r))), "");
    return r;
  }
  /// The statements of `of`, for the request of `r`.
  accrue charged_to(const reserve& r, const accrue& of) {
    accrue a = of;
    a.request = escrow_of(r);
    a.scheduler = driver_of(r);
    return a;
  }
  error why(const message& m) {
    const auto* const r = std::get_if<refusal>(&m.body);
    return r == nullptr ? error{} : r->reason;
  }
  void next_batch() {
    std::vector<keeper_answer> answers;
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    EXPECT_TRUE(check_invariants(keeper_->book().view()));
  }
  const account& of(std::uint8_t who) {
    return *keeper_->book().view().find(ledger_world::node(who));
  }
  convict conviction_by(const double_charge& e, std::uint8_t finder = 7) {
    convict x;
    x.request = std::get<accrue>(e.second.what).request;
    x.guilty = ledger_world::node(driver);
    x.finder = ledger_world::node(finder);
    x.kind = evidence_kind::double_charge;
    x.evidence = evidence_digest(to_bytes(e));
    return x;
  }
};

TEST_F(charges, of_one_statement_to_two_reservations_are_refused_and_convict_their_scheduler) {
  const reserve first = entrusted_by(1);
  const reserve second = entrusted_by(2);
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  const error no = why(ask(driver, signed_by(driver, charged_to(second, paid))));
  EXPECT_EQ(no.code, errc::superseded);
  EXPECT_THAT(no.message, HasSubstr("what was computed is paid once"));
  EXPECT_FALSE(of(driver).ejected);
  next_batch();
  EXPECT_TRUE(of(driver).ejected);
  EXPECT_EQ(of(driver).stake, 0U);
  EXPECT_EQ(of(2).free, 200 * credit) << "its client has all of it back";
  EXPECT_EQ(keeper_->book().view().find_request(escrow_of(second)), nullptr);
  EXPECT_EQ(keeper_->book().view().find_request(escrow_of(first))->windows.size(), 1U)
      << "the stages keep what they were paid";
  ASSERT_EQ(kept_.size(), 1U);
  const double_charge e = double_charge_from(kept_.begin()->second).value();
  EXPECT_EQ(std::get<accrue>(e.first.what).request, escrow_of(first));
  EXPECT_EQ(std::get<accrue>(e.second.what).request, escrow_of(second));
}

// It forgot what it paid for: a scheduler that was started again.
TEST_F(charges, of_requests_one_behind_the_other_are_refused_and_convict_nobody) {
  const reserve first = entrusted_by(1);
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  ASSERT_EQ(refused(ask(driver, signed_by(driver, end_of(first)))), "");
  const reserve second = entrusted_by(2);
  EXPECT_EQ(why(ask(driver, signed_by(driver, charged_to(second, paid)))).code, errc::superseded);
  next_batch();
  EXPECT_FALSE(of(driver).ejected);
}

TEST_F(charges, of_two_schedulers_convict_neither) {
  const reserve first = entrusted_by(1);
  const reserve second = reservation(2);
  ASSERT_EQ(refused(ask(2, signed_by(2, second))), "");
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  EXPECT_EQ(why(ask(2, signed_by(2, charged_to(second, paid)))).code, errc::superseded);
  next_batch();
  EXPECT_FALSE(of(driver).ejected);
  EXPECT_FALSE(of(2).ejected);
}

TEST_F(charges, may_name_a_statement_again_once_its_window_was_taken_back_or_released) {
  const reserve first = entrusted_by(1);
  const reserve second = entrusted_by(2);
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  now_ += ledger_world::rules().rules.audit_window_s;
  std::vector<keeper_answer> answers;
  ASSERT_TRUE(keeper_->commit(now_, {now_, 10}, answers));
  EXPECT_EQ(refused(ask(driver, signed_by(driver, charged_to(second, paid)))), "")
      << "as long as it can be audited, and no longer";
}

TEST_F(charges, convict_by_evidence_of_whoever_has_it_and_by_no_forgery) {
  const reserve first = entrusted_by(1);
  const reserve second = entrusted_by(2);
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  const auto entry_at_end = [&] {
    const auto& log = keeper_->book().log();
    return decode_entry(log.entry_at(log.size() - 1).value()).value();
  };
  const accrue again = charged_to(second, paid);
  const double_charge right{entry_at_end(),
                            {0, again, sign_action(ledger_world::key(driver), id_, again)}};
  const auto refusal_of = [&](const double_charge& e, convict x) {
    return refused(ask(7, bytes_of(x), to_bytes(e)));
  };
  double_charge forged = right;
  forged.second.proof = sign_action(ledger_world::key(7), id_, again);
  EXPECT_THAT(refusal_of(forged, conviction_by(forged)), HasSubstr("not signed by"));
  forged = right;
  accrue other = again;
  for (window_share& s : other.computed) {
    s.statement = ledger_world::statement(77 + s.amount + s.node.key[0]);
  }
  forged.second = {0, other, sign_action(ledger_world::key(driver), id_, other)};
  EXPECT_THAT(refusal_of(forged, conviction_by(forged)), HasSubstr("different statements"));
  forged = right;
  forged.second = {0, paid, right.first.proof};
  EXPECT_THAT(refusal_of(forged, conviction_by(forged)), HasSubstr("from one reservation"));
  forged = right;
  forged.first.time += 1;
  EXPECT_THAT(refusal_of(forged, conviction_by(forged)), HasSubstr("no entry of this log"));
  convict x = conviction_by(right);
  x.guilty = ledger_world::node(2);
  EXPECT_THAT(refusal_of(right, x), HasSubstr("who signed both"));
  x = conviction_by(right);
  x.evidence.bytes[0] ^= 1;
  EXPECT_THAT(refusal_of(right, x), HasSubstr("not the one"));
  std::vector<std::byte> cut = to_bytes(right);
  cut.pop_back();
  EXPECT_FALSE(double_charge_from(cut));
  cut = to_bytes(right);
  cut.push_back(std::byte{0});
  EXPECT_FALSE(double_charge_from(cut));
  EXPECT_FALSE(of(driver).ejected);
  EXPECT_EQ(to_bytes(double_charge_from(to_bytes(right)).value()), to_bytes(right));
  EXPECT_EQ(refusal_of(right, conviction_by(right)), "");
  EXPECT_TRUE(of(driver).ejected);
}

TEST_F(charges, of_a_cheap_reservation_leave_claims_as_they_are) {
  const reserve dear = entrusted_by(1);
  reserve cheap = reservation(2);
  cheap.rate = 1;
  ASSERT_EQ(refused(ask(2, signed_by(2, cheap))), "");
  accrue claimed = everything(dear, 20);
  claimed.scheduler = {};
  accrue dust = charged_to(cheap, claimed);
  for (window_share& s : dust.computed) {
    s.amount = (cheap.prompt + 20) / 3;
  }
  ASSERT_EQ(refused(ask(2, signed_by(2, dust))), "");
  ASSERT_TRUE(keeper_->enter_claimed(claimed));
  next_batch();
  EXPECT_EQ(keeper_->book().view().find_request(claimed.request)->windows.size(), 1U);
  reserve equal = reservation(2);
  ASSERT_EQ(refused(ask(2, signed_by(2, equal))), "");
  accrue again = charged_to(equal, claimed);
  again.scheduler = {};
  ASSERT_TRUE(keeper_->enter_claimed(again));
  next_batch();
  EXPECT_TRUE(keeper_->book().view().find_request(again.request)->windows.empty())
      << "claims are paid once as well";
}

TEST_F(charges, survive_that_the_ledger_is_opened_anew) {
  const reserve first = entrusted_by(1);
  const reserve second = entrusted_by(2);
  const accrue paid = everything(first, 20);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, paid))), "");
  const auto image = keeper_->book().view().snapshot();
  const state again = state::restore(image, 9).value();
  EXPECT_EQ(again.snapshot(), image);
  EXPECT_TRUE(again.is_paid(paid.computed.front(), {}));
  open(false);
  EXPECT_EQ(why(ask(driver, signed_by(driver, charged_to(second, paid)))).code, errc::superseded);
}

// The end of a request

TEST_F(charges, end_with_a_wait_for_claims_in_which_nothing_else_is_paid) {
  const reserve r = entrusted_by(1);
  ASSERT_EQ(refused(ask(driver, signed_by(driver, end_of(r)))), "");
  const state& s = keeper_->book().view();
  EXPECT_EQ(s.find_request(escrow_of(r))->held, 100 * credit);
  EXPECT_FALSE(keeper_->report_on_request(escrow_of(r)).open);
  EXPECT_TRUE(takes_claims(keeper_->report_on_request(escrow_of(r))));
  EXPECT_EQ(of(1).open_requests, 0U) << "it may reserve for others";
  EXPECT_THAT(refused(ask(driver, signed_by(driver, everything(r, 20)))),
              HasSubstr("ended by who drives it"));
  accrue claimed = everything(r, 20);
  claimed.scheduler = {};
  ASSERT_TRUE(keeper_->enter_claimed(claimed));
  next_batch();
  EXPECT_EQ(s.find_request(escrow_of(r))->held, 10 * credit);
  now_ += limits::ledger_claims_wait_s;
  std::vector<keeper_answer> answers;
  ASSERT_TRUE(keeper_->commit(now_, {now_, 10}, answers));
  EXPECT_EQ(of(1).free, 110 * credit);
}

TEST_F(charges, end_at_once_where_nothing_is_held_and_no_later_than_the_reservation) {
  reserve r = reservation(1);
  r.completion_max = 20;
  ASSERT_EQ(refused(ask(1, signed_by(1, r))), "");
  ASSERT_EQ(refused(ask(1, signed_by(1, everything(r, 20)))), "");
  ASSERT_EQ(refused(ask(1, signed_by(1, end_of(r)))), "");
  EXPECT_FALSE(keeper_->book().view().find_request(escrow_of(r))->open);
  reserve soon = reservation(2);
  soon.expires = now_ + 5;
  ASSERT_EQ(refused(ask(2, signed_by(2, soon))), "");
  ASSERT_EQ(refused(ask(2, signed_by(2, end_of(soon)))), "");
  now_ += 5;
  std::vector<keeper_answer> answers;
  ASSERT_TRUE(keeper_->commit(now_, {now_, 10}, answers));
  EXPECT_EQ(of(2).free, 200 * credit);
}

TEST_F(charges, are_not_escaped_by_withdrawing_the_request) {
  const reserve r = reservation(1);
  ASSERT_EQ(refused(ask(1, signed_by(1, r))), "");
  const cancel early{escrow_of(r), ledger_world::node(1), ++nonce_};
  ASSERT_EQ(refused(ask(1, signed_by(1, early))), "");
  EXPECT_EQ(of(1).free, 100 * credit);
  const cancel twice{escrow_of(r), ledger_world::node(1), ++nonce_};
  EXPECT_NE(refused(ask(1, signed_by(1, twice))), "");
  accrue claimed = everything(r, 20);
  claimed.scheduler = {};
  ASSERT_TRUE(keeper_->enter_claimed(claimed));
  next_batch();
  EXPECT_EQ(keeper_->book().view().find_request(escrow_of(r))->held, 10 * credit);
}

} // namespace
} // namespace ovir::ledger
