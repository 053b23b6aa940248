#include "actors/ledger_keeper.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/limits_credit.hpp"

#include <caf/all.hpp>

namespace ovir::actors {

namespace {

void send_all(ledger_keeper_pointer self, const std::vector<ledger::keeper_answer>& answers) {
  for (const ledger::keeper_answer& a : answers) {
    self->state.environment.links->send_credit(a.to, ledger::to_bytes(a.what));
  }
}

/// After a failed write it is unknown what lasts: nobody is answered until the log was read again.
void fail_with(ledger_keeper_pointer self, const error& why) {
  self->state.failed = true;
  self->state.environment.journal->say(log_level::error, std::nullopt,
                                       "the ledger cannot be written: {}", why.message);
}

void tell_notes(ledger_keeper_pointer self) {
  for (const std::string& note : self->state.environment.kept->take_notes()) {
    self->state.environment.journal->say(log_level::warn, std::nullopt, "{}", note);
  }
}

void commit(ledger_keeper_pointer self, bool due) {
  ledger_keeper_state& state = self->state;
  std::vector<ledger::keeper_answer> answers;
  const auto done =
      state.environment.kept->keeper().commit(state.environment.env->unix_seconds(), due, answers);
  if (!done) {
    return fail_with(self, done.error());
  }
  send_all(self, answers);
}

void take(ledger_keeper_pointer self, const credit_received& news) {
  ledger_keeper_state& state = self->state;
  if (state.failed) {
    return; // whoever asks, asks again
  }
  auto question = ledger::message_from(*news.bytes);
  if (!question) {
    state.environment.journal->say(log_level::warn, std::nullopt,
                                   "{} asked what is no question: {}", short_name(news.from),
                                   question.error().message);
    return;
  }
  std::vector<ledger::keeper_answer> answers;
  ledger::keeper& keeper = state.environment.kept->keeper();
  keeper.take(news.from, news.roles, std::move(*question), answers);
  send_all(self, answers);
  // Behind all that came until now: they make one batch.
  if (keeper.waiting() && !std::exchange(state.batching, true)) {
    self->send(self, ledger_batch{});
  }
}

void tick(ledger_keeper_pointer self) {
  ledger_keeper_state& state = self->state;
  self->delayed_send(self, limits::ledger_tick, ledger_tick{});
  if (state.failed) {
    if (const auto again = state.environment.kept->reopen(); !again) {
      return fail_with(self, again.error());
    }
    state.failed = false;
    tell_notes(self);
  }
  commit(self, true);
  if (state.failed) {
    return;
  }
  if (const auto kept = state.environment.kept->keep_head(); !kept) {
    state.environment.journal->say(log_level::warn, std::nullopt, "the ledger's head: {}",
                                   kept.error().message);
  }
  std::vector<ledger::keeper_answer> answers;
  state.environment.kept->keeper().tell_head(answers);
  send_all(self, answers);
  if (!state.batching) {
    if (const auto tended = state.environment.kept->tend_index(); !tended) {
      return fail_with(self, tended.error());
    }
    tell_notes(self);
  }
}

} // namespace

caf::behavior ledger_keeper_behavior(ledger_keeper_pointer self,
                                     ledger_keeper_environment environment) {
  make_quiet(self);
  self->state.environment = environment;
  tell_notes(self);
  self->delayed_send(self, limits::ledger_tick, ledger_tick{});
  return {
      [self](const credit_received& news) { take(self, news); },
      [](const link_changed&) {},
      [self](const ledger_batch&) {
        self->state.batching = false;
        if (!self->state.failed) {
          commit(self, false);
        }
      },
      [self](const ledger_tick&) { tick(self); },
  };
}

} // namespace ovir::actors
