#include "actors/request/lead_times_actor.hpp"

#include "actors/request/lead_counts_actor.hpp"
#include "actors/request/lead_facts_actor.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

namespace {

void tell_seen(lead_pointer self) {
  lead_state& state = self->state;
  if (state.path.empty() || state.path.front().node.empty()) { // within one process
    return;
  }
  if (auto times = state.times.stages.take()) {
    self->send(state.environment.paths,
               steps_seen{state.request, path_now(state), std::move(*times)});
  }
}

} // namespace

void note_fed(lead_pointer self, const tokens_effect& e) {
  lead_state& state = self->state;
  state.times.fed = state.environment.env->now();
  if (!state.times.first_frame) {
    state.times.first_frame = state.times.fed;
  }
  const auto drafts = static_cast<std::uint32_t>(e.drafts.size());
  if (e.count + drafts == 1) {
    state.times.stages.fed(state.core->current_epoch(), e.first + 1,
                           static_cast<std::uint32_t>(state.path.size()), state.times.fed);
  }
  trace_now(state, [&](request_trace& trace, request_trace::time now) {
    trace.take_feed(now, state.core->current_epoch(), e.first, e.count, drafts);
  });
}

void note_step(lead_pointer self, const from_stage<step_done>& e) {
  lead_state& state = self->state;
  trace_now(state, [&](request_trace& trace, request_trace::time now) {
    trace.take_pass(now, e.driver, e.stage.value, e.length, e.computed);
  });
  if (tells_time(e.length)) {
    state.times.stages.computed(e.driver, e.stage, e.length, e.held, state.environment.env->now());
    tell_seen(self);
  }
}

void note_answer(lead_pointer self, epoch driver, position first, position length) {
  lead_state& state = self->state;
  trace_now(state, [&](request_trace& trace, request_trace::time now) {
    trace.take_answer(now, driver, first);
  });
  if (tells_time(length)) {
    state.times.stages.answered(driver, length, state.environment.env->now());
    tell_seen(self);
  }
}

} // namespace ovir::actors
