#include "actors/request/lead_journal_actor.hpp"

#include "messages/mutant.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

void begin_journal(lead_state& state) {
  if (state.environment.journal == nullptr || state.log->second) {
    return;
  }
  if (auto entry = state.environment.journal->begin(*state.log)) {
    state.journal = std::move(*entry);
  }
}

void log_drawn(lead_pointer self, std::uint32_t index, const drawn_token& drawn) {
  lead_state& state = self->state;
  state.log->drawn.push_back(drawn);
  if (state.journal && !state.journal->append(drawn)) {
    state.journal.reset();
  }
  if (!state.path.empty() && state.path.front().handle) {
    tell_stage(self, state.path.front().handle, log_token{index, drawn});
  }
}

void withdraw_journal(lead_state& state) {
  state.journal.reset();
  if (state.environment.journal == nullptr || OVIR_MUTANT("lead_forgets_cancels")) {
    return;
  }
  if (auto kept = state.environment.journal->withdraw(state.request); !kept) {
    state.finish.not_withdrawn = std::move(kept.error());
  }
}

void withdraw_at_stage(lead_pointer self) {
  tell_stage(self, self->state.path.front().handle, withdraw_log{});
}

void end_journal(lead_state& state) {
  if (state.environment.journal != nullptr) {
    state.environment.journal->done(state.request);
  }
}

} // namespace ovir::actors
