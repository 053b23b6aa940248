#include "actors/request/lead_times_actor.hpp"

#include "actors/path/path_news_actor.hpp"
#include "actors/request/lead_counts_actor.hpp"
#include "actors/request/lead_facts_actor.hpp"
#include "actors/request/lead_faults_actor.hpp"
#include "messages/limits/gather.hpp"
#include "messages/limits/general.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

bool has_deadline(const lead_state& state) {
  return state.times.deadline < limits::request_deadline_max;
}

std::chrono::nanoseconds time_left(const lead_state& state) {
  return state.times.deadline - (state.environment.env->now() - state.times.started);
}

std::uint32_t tokens_left(const lead_state& state) {
  const std::size_t drawn = state.core->output_count();
  return state.log->max_tokens -
         static_cast<std::uint32_t>(std::min<std::size_t>(drawn, state.log->max_tokens));
}

void tell_pace(lead_pointer self, const std::vector<std::chrono::nanoseconds>& took) {
  const lead_state& state = self->state;
  if (!state.environment.tells_path) {
    return;
  }
  request_pace pace;
  pace.path = path_now(state);
  pace.took = took;
  pace.token = state.watch.patience.smoothed();
  if (state.environment.forecasts != nullptr) {
    pace.planned = state.environment.forecasts->of(state.request).token;
  }
  if (has_deadline(state)) {
    pace.left = time_left(state);
    pace.needed = tokens_left(state) * pace.token;
  }
  caf::anon_send(state.requester, pace_told{state.request, std::move(pace)});
}

void tell_seen(lead_pointer self) {
  lead_state& state = self->state;
  if (state.path.empty() || state.path.front().node.empty()) { // within one process
    return;
  }
  if (auto times = state.times.stages.take()) {
    state.times.slowest = stage_index{static_cast<std::uint32_t>(
        std::max_element(times->begin(), times->end()) - times->begin())};
    tell_pace(self, *times);
    self->send(state.environment.paths,
               steps_seen{state.request, path_now(state), std::move(*times)});
  }
}

/// Passes of a stage that may come before the request's next step.
std::uint16_t slack_now(const lead_state& state) {
  if (state.times.batch) {
    return limits::slack_batch;
  }
  if (!has_deadline(state)) {
    return limits::slack_usual;
  }
  return deadline_core::slack(tokens_left(state) * state.watch.patience.smoothed(),
                              time_left(state));
}

} // namespace

std::chrono::nanoseconds allowed_token(const lead_state& state) {
  const auto left = time_left(state);
  return has_deadline(state) && left.count() > 0 ? left / std::max(tokens_left(state), 1U)
                                                 : std::chrono::nanoseconds{0};
}

frame_header header_of(const lead_state& state, const tokens_effect& e) {
  const auto drafts = static_cast<std::uint32_t>(e.drafts.size());
  return {drafts > 0 ? frame_kind::drafted_tokens : frame_kind::tokens,
          state.request,
          state.core->current_epoch(),
          e.first,
          e.count + drafts,
          1,
          e.logit_rows + drafts,
          slack_now(state)};
}

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

std::optional<error> missed_deadline(const lead_state& state) {
  if (!has_deadline(state) || state.environment.forecasts == nullptr) {
    return std::nullopt;
  }
  const auto positions = static_cast<position>(state.reuse ? 0 : state.core->history().size());
  const auto met = deadline_core::check(
      state.environment.forecasts->of(state.request),
      {positions, state.environment.shape.prefill_chunk, tokens_left(state)}, time_left(state));
  return met ? std::nullopt : std::optional{met.error()};
}

void watch_pace(lead_pointer self) {
  lead_state& state = self->state;
  if (has_deadline(state) && state.times.slowest &&
      state.times.due.falls_behind(state.watch.patience.smoothed(), tokens_left(state),
                                   time_left(state)) &&
      state.times.slowest->value < state.path.size()) {
    complain(
        self, *state.times.slowest,
        {errc::timed_out, fmt::format("stage {} is the slowest, and the deadline would be missed",
                                      state.times.slowest->value)});
  }
}

} // namespace ovir::actors
