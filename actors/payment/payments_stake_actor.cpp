#include "actors/payment/payments_parts_actor.hpp"
#include "messages/caf/errors.hpp"

#include <caf/all.hpp>

#include <algorithm>

// The stake that this node is told to have: locked as its account gets the credits for it.

namespace ovir::actors {

void tend_stake(payments_pointer self, const ledger::account_report& own) {
  payments_state& state = self->state;
  const ledger::micro_credits wanted = state.environment.stake;
  const ledger::micro_credits firm = own.stake - std::min(own.stake, own.leaving);
  state.own.lacks_stake = firm < wanted;
  if (!state.own.lacks_stake) {
    return;
  }
  keep_ticking(self);
  if (own.free < wanted - firm || state.own.locks_stake) {
    return;
  }
  state.own.locks_stake = true;
  self->request(caf::actor_cast<caf::actor>(self), 2 * limits::payment_action_wait,
                credit_order{ledger::lock{{}, wanted - firm, 0}})
      .then(
          [self, wanted](const ledger::promise&) {
            self->state.own.locks_stake = false;
            self->state.environment.journal->say(log_level::info, std::nullopt,
                                                 "has {} micro-credits at stake", wanted);
            ask_for_account(self);
          },
          [self](const caf::error& reason) { // the next report tells whether it was done
            self->state.own.locks_stake = false;
            self->state.environment.journal->say(log_level::warn, std::nullopt,
                                                 "nothing was put at stake yet: {}",
                                                 from_caf(reason).message);
          });
}

} // namespace ovir::actors
