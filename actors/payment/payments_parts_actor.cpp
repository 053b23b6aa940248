#include "actors/payment/payments_parts_actor.hpp"

#include "ledger/rules/attest.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

storage::env::time_point now_of(payments_pointer self) {
  return self->state.environment.env->now();
}

void keep_ticking(payments_pointer self) {
  if (!std::exchange(self->state.ticking, true)) {
    self->delayed_send(self, limits::payment_tick, payment_tick{});
  }
}

void say(payments_pointer self, std::uint64_t id, payments_state::said_body body) {
  payments_state& state = self->state;
  if (!state.at.waits) {
    state.at.waits = now_of(self);
  }
  state.environment.links->send_credit(state.at.node,
                                       ledger::to_bytes(ledger::message{id, std::move(body)}));
}

void ask_for_account(payments_pointer self) {
  payments_state& state = self->state;
  state.at.asked_account = now_of(self);
  say(self, 0, ledger::ask_account{state.environment.key->id()});
}

bool ready(const payments_state& state) {
  return state.at.linked && state.ledger.has_value() && !state.signed_by_keepers.contradicts;
}

bool believed(const payments_state& state, const ledger::signed_head& head) {
  return state.ledger && head.head.ledger == *state.ledger &&
         ledger::signed_by_majority(head, state.signed_by_keepers.who);
}

std::vector<std::byte> entry_of(const ledger::command& c, const signature& proof) {
  std::vector<std::byte> bytes;
  ledger::encode({0, c, proof}, bytes);
  return bytes;
}

sent_command make_sent(payments_pointer self, ledger::command what, std::vector<std::byte> entry,
                       std::vector<std::byte> evidence) {
  return {self->state.next_id++, std::move(what), std::move(entry), std::move(evidence),
          now_of(self)};
}

void submit(payments_pointer self, sent_command& s) {
  s.at = now_of(self);
  const ledger::submit what{s.entry, s.evidence};
  if (!s.evidence.empty()) {
    say_to_all(self, s.id, what); // each examines it
  }
  say(self, s.id, what);
}

void submit_again(payments_pointer self, sent_command& s) {
  s.number_anew(self->state.next_id++);
  submit(self, s);
}

bool holds(payments_pointer self, const sent_command& s, const ledger::promise& p) {
  payments_state& state = self->state;
  const auto checked =
      ledger::check_promise(p, s.entry, *state.ledger, state.signed_by_keepers.who);
  if (!checked) {
    state.environment.journal->say(log_level::error, std::nullopt, "{}", checked.error().message);
  }
  if (checked && state.follower &&
      state.signed_by_keepers.promises.size() < limits::promises_kept_max) {
    state.signed_by_keepers.promises.emplace(p.entry.entry.index, p.entry);
  }
  return checked.has_value();
}

signature sign_as_scheduler(payments_pointer self, ledger::command& what) {
  payments_state& state = self->state;
  std::visit(
      [&](auto& x) {
        if constexpr (requires { x.scheduler; }) {
          x.scheduler = state.environment.key->id();
        }
        if constexpr (requires { x.nonce; }) {
          x.nonce = ++state.own.nonce;
        }
      },
      what);
  return ledger::sign_action(*state.environment.key, *state.ledger, what);
}

} // namespace ovir::actors
