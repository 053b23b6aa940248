#pragma once

#include "actors/request/lead_actor.hpp"

#include <chrono>

/// What a lead counts for Prometheus, and notes for the trace of its request.
namespace ovir::actors {

/// What happens now, into the trace where one is wanted: `note(trace, since the lead began)`.
template <class Note>
void trace_now(lead_state& state, Note note) {
  if (state.trace) {
    note(*state.trace, state.environment.env->now() - state.times.started);
  }
}

/// `count(meter)`, where anybody counts.
template <class Count>
void count_now(const lead_state& state, Count count) {
  if (state.environment.meter != nullptr) {
    count(*state.environment.meter);
  }
}

/// How long a stage may owe an answer before another is looked for: its slack.
[[nodiscard]] inline std::chrono::nanoseconds slack(const lead_state& state) {
  return state.watch.patience.allowed(state.core->owes_one_step());
}

/// The request is over.
inline void note_end(lead_state& state, result<generation_report>& outcome) {
  if (state.trace && outcome) {
    trace_now(state, [](request_trace& trace, request_trace::time now) { trace.ended = now; });
    outcome->trace = state.trace;
  }
  count_now(state, [&](node_meter& meter) {
    meter.ended(outcome ? std::optional{outcome->end} : std::nullopt);
  });
}

} // namespace ovir::actors
