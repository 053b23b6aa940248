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
               steps_seen{state.request, path_now(state), std::move(*times),
                          state.times.stages.lead().value_or(std::chrono::nanoseconds{0})});
  }
}

/// No deadline is later than the longest one.
std::chrono::nanoseconds with_margin(std::chrono::nanoseconds time, double margin) {
  const double most = in_seconds(limits::request_deadline_max);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>{std::min(in_seconds(time) * margin, most)});
}

/// Of the prompt and what was drawn.
position positions_from(const lead_state& state, position first) {
  const auto all = static_cast<position>(state.core->history().size());
  return all - std::min(all, first);
}

/// Passes of a stage that may come before the request's step from this position on.
std::uint16_t slack_now(const lead_state& state, position first) {
  if (state.times.batch) {
    return limits::slack_batch;
  }
  if (!has_deadline(state)) {
    return limits::slack_usual;
  }
  const auto& expected = state.times.expected;
  std::chrono::nanoseconds rest = tokens_left(state) * state.watch.patience.smoothed();
  if (rest.count() == 0 && expected) { // nothing was seen yet
    rest = deadline_core::predicted(expected->path,
                                    {positions_from(state, first),
                                     state.environment.shape.prefill_chunk, tokens_left(state)})
               .value_or(rest);
  }
  return deadline_core::slack(with_margin(rest, expected ? expected->margin : 1), time_left(state));
}

/// With the first frame.
lead_state::request_times::outlook outlook_now(const lead_state& state, position first) {
  const path_forecasts& forecasts = *state.environment.forecasts;
  lead_state::request_times::outlook now{
      forecasts.of(state.request),
      {positions_from(state, first), state.environment.shape.prefill_chunk, tokens_left(state)},
      forecasts.margin(state.environment.env->now())};
  if (const auto takes = deadline_core::predicted(now.path, now.rest);
      takes && has_deadline(state)) {
    now.close = time_left(state) < with_margin(*takes, 2 * now.margin);
  }
  now.rest.tokens = static_cast<std::uint32_t>(state.core->output_count());
  return now;
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
          slack_now(state, e.first)};
}

void note_fed(lead_pointer self, const tokens_effect& e) {
  lead_state& state = self->state;
  state.times.fed = state.environment.env->now();
  if (!state.times.first_frame) {
    state.times.first_frame = state.times.fed;
    if (state.environment.forecasts != nullptr) {
      state.times.expected = outlook_now(state, e.first);
    }
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

std::optional<error> missed_deadline(const lead_state& state, position positions) {
  if (!has_deadline(state) || state.environment.forecasts == nullptr) {
    return std::nullopt;
  }
  const path_forecasts& forecasts = *state.environment.forecasts;
  const auto met =
      deadline_core::check(forecasts.of(state.request),
                           {positions, state.environment.shape.prefill_chunk, tokens_left(state)},
                           time_left(state), forecasts.margin(state.environment.env->now()));
  return met ? std::nullopt : std::optional{met.error()};
}

lead_core::effects opened_in_time(lead_state& state, const from_stage<session_opened>& e) {
  auto effects = state.core->on_opened(e);
  const auto first = std::find_if(effects.begin(), effects.end(), [](const lead_effect& effect) {
    return std::holds_alternative<tokens_effect>(effect);
  });
  if (first != effects.end() && !state.times.first_frame) {
    const position from = std::get<tokens_effect>(*first).first;
    if (auto missed = missed_deadline(state, positions_from(state, from))) {
      return state.core->fail_with(*std::move(missed));
    }
  }
  return effects;
}

// One that ended before its first token tells nothing, unless that was late.
void note_took(const lead_state& state) {
  const auto& expected = state.times.expected;
  if (!expected || !expected->path_stays) {
    return;
  }
  work_left done = expected->rest;
  done.tokens = static_cast<std::uint32_t>(state.core->output_count()) - done.tokens;
  const auto predicted = deadline_core::predicted(expected->path, done);
  if (!predicted || predicted->count() == 0) {
    return;
  }
  const auto now = state.environment.env->now();
  const double took = in_seconds(now - *state.times.first_frame) / in_seconds(*predicted);
  if (done.tokens > 0 || took > 1) {
    state.environment.forecasts->took(took, expected->close, now);
  }
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
