#include "actors/payment/payments_parts_actor.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/caf/errors.hpp"
#include "messages/limits/carriage.hpp"

#include <caf/all.hpp>

#include <utility>

// What this node carried between others as a relay, and their receivers signed for: each part is
// paid once, from the receiver's account (docs/adr/0045-nat.md).

namespace ovir::actors {

namespace {

void collect(payments_pointer self) {
  payments_state& state = self->state;
  auto& bills = state.bills;
  for (const carried_part& one : state.environment.carried()) {
    if (ledger::bytes_of_part(one.what.bytes, one.part) >= limits::relay_bill_least) {
      bills.waiting.push_back({one, now_of(self)});
    }
  }
  // The first may be on its way.
  while (bills.waiting.size() > limits::bills_waiting_max) {
    bills.waiting.erase(bills.waiting.begin() + 1);
  }
}

/// Where the receiver has too few credits, or the keeper is away, it is asked again later, behind
/// the others.
void take_no(payments_pointer self, const error& why) {
  auto& bills = self->state.bills;
  auto bill = std::move(bills.waiting.front());
  bills.waiting.pop_front();
  bills.next = now_of(self) + limits::bill_retry;
  const bool may_pass = why.code == errc::over_limit || why.code == errc::busy ||
                        why.code == errc::timed_out || why.code == errc::peer_lost;
  if (may_pass && now_of(self) - bill.since < limits::bill_lasts) {
    bills.waiting.push_back(std::move(bill));
    return;
  }
  self->state.environment.journal->say(log_level::warn, std::nullopt,
                                       "is not paid for {} bytes that it carried to {}: {}",
                                       ledger::bytes_of_part(bill.what.what.bytes, bill.what.part),
                                       short_name(bill.what.what.receiver), why.message);
}

void take_yes(payments_pointer self) {
  auto& bills = self->state.bills;
  const carried_part paid = bills.waiting.front().what;
  bills.waiting.pop_front();
  const std::uint64_t bytes = ledger::bytes_of_part(paid.what.bytes, paid.part);
  self->state.environment.journal->say(
      log_level::info, std::nullopt, "{} pays {} micro-credits for {} bytes carried from {}",
      short_name(paid.what.receiver), ledger::carriage_price(bytes, self->state.rules.relay_fee),
      bytes, short_name(paid.what.sender));
}

} // namespace

void tend_bills(payments_pointer self) {
  payments_state& state = self->state;
  auto& bills = state.bills;
  if (!state.environment.carried) {
    return;
  }
  collect(self);
  if (state.ledger && state.rules.relay_fee == 0) {
    bills.waiting.clear();
  }
  if (!ready(state) || bills.waiting.empty() || bills.under_way || now_of(self) < bills.next) {
    return;
  }
  bills.under_way = true;
  self->request(caf::actor_cast<caf::actor>(self), 2 * limits::payment_action_wait,
                credit_order{ledger::carriage{bills.waiting.front().what, 0}})
      .then(
          [self](const ledger::promise&) {
            self->state.bills.under_way = false;
            take_yes(self);
            tend_bills(self);
          },
          [self](const caf::error& reason) {
            self->state.bills.under_way = false;
            take_no(self, from_caf(reason));
          });
}

} // namespace ovir::actors
