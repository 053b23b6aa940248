#include "actors/request/lead_end_actor.hpp"

#include "actors/payment/payments_actor.hpp"
#include "actors/request/lead_counts_actor.hpp"
#include "actors/request/lead_facts_actor.hpp"
#include "actors/request/lead_journal_actor.hpp"
#include "actors/request/lead_signing_actor.hpp"
#include "actors/request/lead_times_actor.hpp"
#include "messages/limits/evidence.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

namespace {

/// After so many ticks in which a statement lacks, the lead tells the end without a receipt, where
/// the client asked for none.
constexpr std::uint32_t ticks_before_end = 2;

void tell_end(lead_pointer self, result<generation_report> outcome) {
  lead_state& state = self->state;
  end_journal(state);
  if (outcome) {
    outcome->not_withdrawn = std::move(state.finish.not_withdrawn);
  }
  note_end(state, outcome);
  note_took(state);
  caf::anon_send(state.requester, generation_done{state.request, std::move(outcome)});
}

/// Nothing more is expected of the stages.
void quit(lead_pointer self) {
  lead_state& state = self->state;
  for (const path_stage& stage : state.path) {
    release(self, stage.handle);
  }
  if (state.environment.payments) {
    caf::anon_send(state.environment.payments, work_over{state.request});
  }
  self->quit();
}

void end_with_receipt(lead_pointer self, result<std::vector<std::byte>> made) {
  lead_state& state = self->state;
  if (!made) {
    part_with_statements(self, state.signing.statements.size());
    if (made.error().code == errc::timed_out) {
      blame_for_receipt(self);
    }
  }
  result<generation_report> outcome = std::move(*state.finish.outcome);
  state.finish.outcome.reset();
  count_now(state, [&](node_meter& meter) {
    if (made) {
      meter.receipt();
    }
  });
  keep_finished(self, *outcome, &made);
  if (!state.finish.told) {
    outcome->receipt = std::make_shared<const result<std::vector<std::byte>>>(std::move(made));
    tell_end(self, std::move(outcome));
  } else if (made) {
    caf::anon_send(state.requester,
                   receipt_closed{state.request, std::make_shared<const std::vector<std::byte>>(
                                                     std::move(*made))});
  }
  quit(self);
}

// At the desk: it checks all that was signed.
void close_receipt(lead_pointer self) {
  lead_state& state = self->state;
  const generation_report& report = **state.finish.outcome;
  receipt_facts facts{state.signing.terms->asked(),
                      report.tokens,
                      report.end,
                      report.positions,
                      report.transcript,
                      report.time_to_first_token,
                      report.prefill_time,
                      report.decode_time,
                      report.path,
                      state.signing.attested};
  state.finish.closing = true;
  state.finish.closed_over = state.signing.statements.size();
  state.environment.desk->executor->post([evidence = state.signing.terms, facts = std::move(facts),
                                          frames = state.signing.statements,
                                          lead = lead_actor{self}](compute::parallel_runner&) {
    caf::anon_send(lead, receipt_made{evidence->make(facts, frames)});
  });
}

void begin_closing(lead_pointer self, result<generation_report> outcome) {
  lead_state& state = self->state;
  state.finish.outcome = std::move(outcome);
  close_receipt(self);
}

} // namespace

void release(lead_pointer self, const shard_actor& stage) {
  if (stage) {
    self->send(stage, to_stage<close_session>{{}, self->state.request, {}});
    // A monitor stays in the shard, and this actor's memory with it, as long as the shard lives.
    self->demonitor(stage.address());
  }
}

void take_receipt(lead_pointer self, receipt_made& made) {
  lead_state& state = self->state;
  state.finish.closing = false;
  if (!state.finish.outcome) {
    return;
  }
  const bool waits = !made.bytes && made.bytes.error().code == errc::timed_out &&
                     state.finish.ticks * limits::lead_tick < limits::statement_wait;
  if (!waits) {
    end_with_receipt(self, std::move(made.bytes));
  } else if (state.finish.closed_over < state.signing.statements.size()) {
    close_receipt(self); // more came meanwhile
  }
}

void take_statements(lead_pointer self, const frame_bytes& frame) {
  lead_state& state = self->state;
  if (state.signing.terms == nullptr ||
      state.signing.statement_bytes + frame->size() > limits::receipt_bytes_max) {
    return;
  }
  // A copy: a frame from another node counts against its connection as long as it is held.
  state.signing.statement_bytes += frame->size();
  state.signing.statements.push_back(std::make_shared<const std::vector<std::byte>>(*frame));
  note_statements(self, frame);
  if (state.environment.payments) {
    caf::anon_send(state.environment.payments,
                   work_stated{state.request, state.signing.statements.back(), path_now(state)});
  }
  if (state.finish.outcome && !state.finish.closing) {
    close_receipt(self);
  }
}

void wait_for_statements(lead_pointer self) {
  lead_state& state = self->state;
  ++state.finish.ticks;
  if (state.finish.later && !state.finish.told && state.finish.ticks >= ticks_before_end) {
    if (state.path.front().handle) {
      withdraw_at_stage(self); // there is nothing left to go on with
    }
    tell_end(self, *state.finish.outcome);
    state.finish.told = true;
  }
  if (state.finish.ticks % (limits::statement_ask_again / limits::lead_tick) == 0) {
    ask_for_statements(self, static_cast<position>((*state.finish.outcome)->positions), true);
  }
  if (!state.finish.closing) {
    close_receipt(self);
  }
}

void end_generation(lead_pointer self) {
  lead_state& state = self->state;
  auto outcome = state.core->outcome();
  trace_now(state, [](request_trace& trace, request_trace::time now) { trace.generated = now; });
  if (outcome && state.times.first_frame && state.times.first_token) {
    generation_report& report = *outcome;
    report.time_to_first_token = *state.times.first_token - state.times.started;
    report.prefill_time = *state.times.first_token - *state.times.first_frame;
    report.decode_time = state.times.last_token - *state.times.first_token;
  }
  if (outcome) {
    if (state.pooled) {
      outcome->embedding = state.pooled->vector();
    }
    for (const path_stage& stage : state.path) {
      outcome->path.emplace_back(stage.node, stage.layers);
    }
    if (state.signing.terms != nullptr && !outcome->answer_reused) {
      return begin_closing(self, std::move(outcome));
    }
    keep_finished(self, *outcome);
    if (state.reuse) {
      outcome->receipt = state.reuse->receipt;
    }
  }
  if (state.signing.terms != nullptr) {
    part_with_statements(self, state.signing.statements.size());
  }
  tell_end(self, std::move(outcome));
  quit(self);
}

} // namespace ovir::actors
