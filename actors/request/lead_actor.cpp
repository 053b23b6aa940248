#include "actors/request/lead_actor.hpp"

#include "actors/path/path_news_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "actors/request/choices.hpp"
#include "actors/request/draws.hpp"
#include "actors/request/lead_cache_actor.hpp"
#include "actors/request/lead_counts_actor.hpp"
#include "actors/request/lead_drafts_actor.hpp"
#include "actors/request/lead_end_actor.hpp"
#include "actors/request/lead_facts_actor.hpp"
#include "actors/request/lead_faults_actor.hpp"
#include "actors/request/lead_journal_actor.hpp"
#include "actors/request/lead_signing_actor.hpp"
#include "actors/request/lead_times_actor.hpp"
#include "actors/runtime/turn_here_actor.hpp"
#include "actors/stage/stage_evidence.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/mutant.hpp"
#include "messages/wire/frame.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <span>
#include <utility>

namespace ovir::actors {

namespace {

/// Ids the repeat penalty looks at; a draw needs no more of the history.
constexpr std::size_t penalty_window = 64;

/// One of two runs takes over nothing that a stage holds from an earlier lead: what that was
/// computed with may be on the twin's path by now.
position keeps(const lead_state& state, stage_index s) {
  const bool afresh = state.twin != twin_rule::alone &&
                      !state.opened.contains(state.path[s.value].handle.address());
  return afresh ? 0 : state.core->keeps(s);
}

void note_opened(lead_state& state, const from_stage<session_opened>& e) {
  if (state.twin != twin_rule::alone && e.driver == state.core->current_epoch() &&
      e.stage.value < state.path.size() && state.path[e.stage.value].handle) {
    state.opened.insert(state.path[e.stage.value].handle.address());
  }
}

void perform(lead_pointer self, const open_effect& e) {
  lead_state& state = self->state;
  const std::size_t next = e.stage.value + 1;
  const bool last = next == state.path.size();
  session_order order{state.core->positions_max(), keeps(state, e.stage), wanted_answers(state),
                      state.signing.terms != nullptr, state.trace != nullptr};
  if (e.stage.value == 0) {
    order.log = *state.log;
  }
  order.reuse = reuse_now(self);
  order.sealed = state.log->ends.has_value();
  self->send(
      state.path[e.stage.value].handle,
      open_session{std::move(order), state.request, state.core->current_epoch(), e.stage,
                   lead_actor{self},
                   last ? frame_sink{lead_actor{self}} : frame_sink{state.path[next].handle}});
  if (state.signing.terms != nullptr) {
    tell_stage(self, state.path[e.stage.value].handle, sign_evidence{state.signing.terms->order()});
  }
}

void perform(lead_pointer self, const tokens_effect& e) {
  lead_state& state = self->state;
  note_fed(self, e);
  const auto known = state.core->history().subspan(e.first, e.count);
  std::vector<token_id> ids{known.begin(), known.end()};
  ids.insert(ids.end(), e.drafts.begin(), e.drafts.end());
  // Before this lead does anything else: all of the path waits for the step.
  send_and_run(state.path.front().handle,
               tensor_frame{std::make_shared<const std::vector<std::byte>>(
                   encode_frame(header_of(state, e), std::as_bytes(std::span{ids})))});
  sign_tokens(self, e.first, e.first + e.count, false);
}

void perform(lead_pointer self, const replay_effect& e) {
  tell_stage(self, self->state.path[e.stage.value].handle,
             replay_boundaries{e.first, e.count, e.logit_rows});
}

void perform(lead_pointer self, const resend_effect& e) {
  tell_stage(self, self->state.path.back().handle, resend_logits{e.at});
}

void perform(lead_pointer self, const finish_effect& e) {
  lead_state& state = self->state;
  const position end = state.core->target();
  // Of the window that stays incomplete; and of all, where an earlier lead sent the last tokens.
  if (e.stage.value == 0 &&
      (end % limits::window_positions > 0 || state.signing.tokens_signed < end)) {
    sign_tokens(self, end - 1, end, true);
  }
  if (e.stage.value == 0 && state.core->is_cancelled()) {
    withdraw_at_stage(self); // before it says that it has finished
  }
  tell_stage(self, state.path[e.stage.value].handle, finish_session{e.at});
}

void perform(lead_pointer self, const draw_effect& e) {
  lead_state& state = self->state;
  if (wants_choices(state)) {
    const auto view = decode_frame(*state.logits);
    OVIR_CHECK(view.has_value());
    state.drawn = take_choices(*view, e.at, e.drafts);
    return;
  }
  const auto history = state.core->history();
  const auto recent = history.last(std::min(history.size(), penalty_window));
  std::vector<token_id> last{recent.begin(), recent.end()};
  std::vector<token_id> output;
  if (state.matcher != nullptr || state.sampler->counts_output()) {
    const auto drawn = history.last(state.core->output_count());
    output.assign(drawn.begin(), drawn.end());
  }
  frame_bytes logits = std::move(state.logits);
  state.environment.executor->post([lead = lead_actor{self}, logits = std::move(logits),
                                    sampler = state.sampler, matcher = state.matcher,
                                    drafts = e.drafts, last = std::move(last),
                                    output = std::move(output), at = e.at,
                                    top = state.log->logprobs](compute::parallel_runner&) {
    auto drawn = draw_all(*logits, at, drafts, last, *sampler, matcher.get(), output, top);
    if (drawn) {
      caf::anon_send(lead, std::move(*drawn));
    } else {
      caf::anon_send(lead, path_lost{drawn.error()});
    }
  });
}

void perform(lead_pointer self, const drawn_effect& e) {
  lead_state& state = self->state;
  if (e.index >= state.log->drawn.size()) { // else told again for an earlier lead
    log_drawn(self, e.index, e.drawn);
  }
  caf::anon_send(state.requester,
                 text_piece{{e.index, e.drawn.token, e.text, e.logprobs}, state.request});
  keep_draws(self, e.index);
}

void perform(lead_pointer self, const text_effect& e) {
  lead_state& state = self->state;
  const auto index = static_cast<std::uint32_t>(state.core->output_count());
  caf::anon_send(state.requester, text_piece{{index, 0, e.text, {}}, state.request, true});
}

void perform(lead_pointer self, const blame_effect& e) { blame(self, e.stage, e.reason); }

void perform(lead_pointer self, const accuse_effect& e) { accuse_former(self, e); }

void perform(lead_pointer self, const end_effect&) { end_generation(self); }

void perform(lead_pointer self, const kill_effect& e) {
  caf::anon_send_exit(self->state.path[e.stage.value].handle, caf::exit_reason::kill);
}

void perform_all(lead_pointer self, const lead_core::effects& effects);
void take_tokens(lead_pointer self, const tokens_drawn& drawn);

void perform(lead_pointer self, const guess_effect& e) {
  if (!order_guess(self, e)) {
    perform_all(self, self->state.core->on_guess(e.at, {}));
  }
}

void perform_all(lead_pointer self, const lead_core::effects& effects) {
  ++self->state.watch.progress;
  for (const lead_effect& effect : effects) {
    std::visit([self](const auto& e) { perform(self, e); }, effect);
  }
  tell_windows(self);
  if (const auto drawn = std::exchange(self->state.drawn, std::nullopt)) {
    take_tokens(self, *drawn);
  }
}

/// For the receipt: of all nodes that were on its paths.
void note_attested(lead_state::signed_parts& parts, const std::vector<attestation>& shown) {
  for (const attestation& one : shown) {
    if (parts.attested.size() < limits::receipt_attestations_max &&
        std::find(parts.attested.begin(), parts.attested.end(), one) == parts.attested.end()) {
      parts.attested.push_back(one);
    }
  }
}

void path_changed(lead_pointer self, const path_found& news) {
  lead_state& state = self->state;
  std::vector<path_stage> old = std::exchange(state.path, news.stages);
  const auto knows = [](const std::vector<path_stage>& path, const shard_actor& handle) {
    return std::any_of(path.begin(), path.end(),
                       [&](const path_stage& s) { return s.handle == handle; });
  };
  for (const path_stage& stage : old) {
    if (!knows(state.path, stage.handle)) {
      release(self, stage.handle);
    }
  }
  note_attested(state.signing, news.attested);
  std::vector<bool> kept;
  for (const path_stage& stage : state.path) {
    kept.push_back(knows(old, stage.handle));
    if (!kept.back()) {
      self->monitor(stage.handle);
    }
  }
  state.watch.ticks_idle = 0;
  state.faults.blamed.reset();
  if (state.environment.forecasts != nullptr) {
    state.watch.patience.expect(state.environment.forecasts->of(state.request));
  }
  // What may come from a cache counts as nothing until it is known.
  const auto prompt = static_cast<position>(state.reuse ? 0 : state.core->history().size());
  if (auto missed = old.empty() ? missed_deadline(state, prompt) : std::nullopt) {
    return perform_all(self, state.core->fail_with(*std::move(missed)));
  }
  if (!old.empty()) {
    if (state.times.expected) {
      state.times.expected->path_stays = false;
    }
    count_now(state, [](node_meter& meter) { meter.recovered(); });
  }
  if (state.environment.tells_path) {
    caf::anon_send(state.requester,
                   path_taken{state.request, static_cast<std::uint32_t>(state.core->output_count()),
                              path_now(state)});
  }
  const auto effects = state.core->on_path(kept, places_now(state));
  trace_now(state, [&](request_trace& trace, request_trace::time now) {
    trace.take_path(now, state.core->current_epoch(), path_now(state));
  });
  perform_all(self, effects);
}

void shard_down(lead_pointer self, const caf::down_msg& message) {
  lead_state& state = self->state;
  for (std::uint32_t i = 0; i < state.path.size(); ++i) {
    path_stage& stage = state.path[i];
    if (stage.handle && stage.handle.address() == message.source) {
      complain(self, stage_index{i}, from_caf(message.reason));
      stage.handle = nullptr;
      perform_all(self, state.core->on_stage_down(stage_index{i}));
    }
  }
}

void take_hidden(lead_pointer self, const frame_view& view) {
  lead_state& state = self->state;
  const frame_header& h = view.header;
  state.pooled->take(h.first, view.floats());
  state.times.first_token = state.times.last_token = state.environment.env->now();
  perform_all(self, state.core->on_hidden(h.epoch, h.first + h.count, state.pooled->next()));
}

void take_answer(lead_pointer self, const tensor_frame& frame) {
  lead_state& state = self->state;
  const auto view = decode_frame(*frame.bytes);
  if (view && view->header.kind == frame_kind::evidence) {
    return take_statements(self, frame.bytes);
  }
  const auto fits = [&] {
    return state.pooled ? can_pool(*view, state.environment.shape.dim)
                        : can_draw_from(*view, wants_choices(state),
                                        state.environment.vocabulary->vocabulary());
  };
  if (!view || view->header.request != state.request) {
    return;
  }
  if (!fits()) {
    perform_all(self, state.core->on_bad_answer(
                          view->header.epoch,
                          {errc::malformed, "the last stage sent a frame that is no answer"}));
    return;
  }
  if (state.pooled) {
    return take_hidden(self, *view);
  }
  note_answer(self, view->header.epoch, view->header.first,
              view->header.first + view->header.count);
  const auto effects =
      state.core->on_logits(view->header.epoch, view->header.first, view->header.count);
  const bool drawn_from = std::any_of(effects.begin(), effects.end(), [](const auto& effect) {
    return std::holds_alternative<draw_effect>(effect);
  });
  if (drawn_from) {
    state.logits = frame.bytes;
  }
  perform_all(self, effects);
}

void take_tokens(lead_pointer self, const tokens_drawn& drawn) {
  lead_state& state = self->state;
  const auto now = state.environment.env->now();
  if (!state.times.first_token) {
    state.times.first_token = now;
  } else {
    const std::chrono::nanoseconds step = now - state.times.last_token;
    count_now(state, [&](node_meter& meter) { meter.step(step, slack(state)); });
    state.watch.patience.drawn(step);
    watch_pace(self);
  }
  state.times.last_token = now;
  if (state.trace) {
    state.trace->take_draw(now - state.times.started, drawn.at);
  }
  count_now(state, [&](node_meter& meter) {
    meter.drawn(drawn.drawn.size());
    meter.guessed(state.core->guesses(), drawn.drawn.size() - 1);
  });
  const auto guess_took = std::exchange(state.drafts.took, std::chrono::nanoseconds{0});
  auto effects = state.core->on_drawn(drawn, now - state.times.fed + guess_took);
  // The next step first: a stage computes it while the token is logged and told.
  std::stable_partition(effects.begin(), effects.end(), [](const lead_effect& effect) {
    return std::holds_alternative<tokens_effect>(effect) ||
           std::holds_alternative<guess_effect>(effect);
  });
  perform_all(self, effects);
}

// A frame between two stages may have been lost with a link that neither we nor they know of. Where
// there is no better place to go, every stage is asked once more how far it is.
void begin_anew(lead_pointer self) {
  lead_state& state = self->state;
  const bool all_there = std::all_of(state.path.begin(), state.path.end(),
                                     [](const path_stage& stage) { return bool{stage.handle}; });
  if (all_there && !state.path.empty()) {
    perform_all(self,
                state.core->on_path(std::vector<bool>(state.path.size(), true), places_now(state)));
  }
}

// Every wait has an end.
void tick(lead_pointer self) {
  lead_state& state = self->state;
  ++state.watch.ticks;
  if (state.finish.outcome) {
    wait_for_statements(self);
    self->delayed_send(self, limits::lead_tick, watch_tick{});
    return;
  }
  if (state.watch.ticks * limits::lead_tick > state.times.deadline) {
    const std::string why = state.faults.last_trouble.message.empty()
                                ? ""
                                : "; last trouble: " + state.faults.last_trouble.message;
    perform_all(self,
                state.core->fail_with(
                    {errc::timed_out, fmt::format("the request was not done within {:.3g} s{}",
                                                  in_seconds(state.times.deadline), why)}));
    return;
  }
  if (auto reason = unanswered_fault(state)) {
    perform_all(self, state.core->fail_with(*std::move(reason)));
    return;
  }
  watch_statements(self);
  const std::uint64_t progress = progress_of(state);
  state.watch.ticks_idle = progress == state.watch.progress_seen ? state.watch.ticks_idle + 1 : 0;
  state.watch.progress_seen = progress;
  const auto awaited = state.core->awaited();
  if (state.watch.ticks_idle * limits::lead_tick >= slack(state) && awaited &&
      !OVIR_MUTANT("lead_waits_for_ever")) {
    const bool again = state.watch.patience.complained();
    state.watch.ticks_idle = 0;
    complain(self, *awaited,
             {errc::timed_out, fmt::format("stage {} has not answered in time", awaited->value)});
    if (again) {
      begin_anew(self);
    }
  }
  self->delayed_send(self, limits::lead_tick, watch_tick{});
}

void ask_for_path(lead_pointer self) {
  lead_state& state = self->state;
  trace_now(state,
            [](request_trace& trace, request_trace::time now) { trace.asked_for_path = now; });
  perform_all(self, state.core->resume());
  self->send(state.environment.paths,
             watch_path{state.request, state.log->model, state.core->positions_max(),
                        lead_actor{self}, state.environment.reserved, allowed_token(state),
                        state.twin, state.log->ends, state.log->tier});
}

// Whoever computes the same prefix just now has it in a moment; whoever had the same request before
// has its answer.
void go_on_with(lead_pointer self, request_entered* known) {
  lead_state& state = self->state;
  if (state.core->is_over()) { // cancelled while it waited
    return;
  }
  const std::uint32_t vocabulary = state.environment.vocabulary->vocabulary();
  if (known != nullptr && known->finished && may_tell(self, *known->finished, vocabulary)) {
    state.times.first_frame = state.times.first_token = state.times.last_token =
        state.environment.env->now();
    perform_all(self, state.core->conclude_with(*known->finished, known->from_disk));
    if (state.core->is_over()) {
      return;
    }
    state.times.first_frame = state.times.first_token = std::nullopt;
  }
  if (known != nullptr) {
    adopt_draws(*state.core, std::move(known->drawn), vocabulary);
  }
  ask_for_path(self);
}

/// What its deadline leaves for a step, of one token each, in microseconds.
std::uint32_t step_of(const generation_request& request) {
  const auto all = std::chrono::duration_cast<std::chrono::microseconds>(request.deadline).count();
  const auto steps = std::max<std::int64_t>(request.max_tokens, 1);
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(all / steps, 1, std::numeric_limits<std::uint32_t>::max()));
}

void begin(lead_pointer self, generation_request request) {
  lead_state& state = self->state;
  const lead_environment& around = state.environment;
  state.log = std::make_shared<request_log>(request);
  begin_journal(state);
  if (request.receipt && around.desk != nullptr) {
    state.signing.terms = std::make_shared<const lead_evidence>(
        *around.desk, facts_of(request, around.shape.hashed_layers + 1),
        around.env->unix_seconds() +
            static_cast<std::uint64_t>(
                std::chrono::ceil<std::chrono::seconds>(request.deadline).count()),
        step_of(request));
  }
  request.receipt = state.signing.terms != nullptr;
  state.finish.later = request.receipt_later;
  state.request = request.id;
  state.twin = request.twin;
  state.times.deadline = request.deadline;
  state.times.batch = request.batch;
  state.sampler = std::make_shared<compute::sampler>(request.sampling);
  state.times.started = around.env->now();
  if (request.trace) {
    state.trace = std::make_shared<request_trace>();
    state.trace->began_unix_us = around.env->unix_seconds() * 1'000'000;
    state.trace->waited =
        request.taken ? state.times.started - *request.taken : request_trace::time{0};
  }
  std::optional<error> wrong;
  if (restricts_tokens(request.sampling)) {
    auto made = compute::token_matcher::make(request.sampling, around.vocabulary->words());
    if (made) {
      state.matcher = std::move(*made);
    } else {
      wrong = made.error();
    }
  }
  // Of what is reused the hidden states are not there.
  const bool all = request.embedding == pooling::mean;
  cache_use use = all ? cache_use{} : request.cache;
  if (request.embedding) {
    use.answers = false;
    state.pooled.emplace(*request.embedding, static_cast<position>(request.prompt.size()),
                         around.shape.dim);
  }
  open_drafts(self, request);
  state.core.emplace(std::move(request), around.shape, *around.vocabulary);
  start_drafts(self);
  if (wrong) {
    return perform_all(self, state.core->fail_with(*std::move(wrong)));
  }
  if (enter_cache(self, use, [self](request_entered* known) { go_on_with(self, known); })) {
    state.core->use_cache();
  } else {
    ask_for_path(self);
  }
  self->delayed_send(self, limits::lead_tick, watch_tick{});
}

void cancel(lead_pointer self) {
  const auto effects = self->state.core->on_cancel();
  if (self->state.core->is_cancelled()) {
    withdraw_journal(self->state);
  }
  perform_all(self, effects);
}

} // namespace

lead_actor::behavior_type lead_behavior(lead_pointer self, generation_request request,
                                        caf::actor requester, lead_environment environment) {
  make_quiet(self);
  self->state.requester = std::move(requester);
  self->state.environment = std::move(environment);
  self->set_down_handler([self](caf::down_msg& message) {
    if (!cache_down(self, message)) {
      shard_down(self, message);
    }
  });
  begin(self, std::move(request));
  return {
      [self](const tensor_frame& frame) { take_answer(self, frame); },
      [self](const from_stage<session_opened>& e) {
        note_opened(self->state, e);
        perform_all(self, opened_in_time(self->state, e));
      },
      [self](const from_stage<step_done>& e) {
        note_step(self, e);
        perform_all(self, self->state.core->on_step(e));
      },
      [self](const from_stage<session_finished>& e) {
        perform_all(self, self->state.core->on_finished(e));
      },
      [self](const from_stage<stage_failed>& e) { perform_all(self, stage_refused(self, e)); },
      [self](const path_found& news) { path_changed(self, news); },
      [self](const path_missing& e) { self->state.faults.last_trouble = e.reason; },
      [self](const path_lost& e) { perform_all(self, self->state.core->fail_with(e.reason)); },
      [self](const cancel_request&) { cancel(self); },
      [self](const tokens_drawn& drawn) { take_tokens(self, drawn); },
      [self](const guess_made& e) {
        take_guess(self, e);
        perform_all(self, self->state.core->on_guess(e.at, e.tokens));
      },
      [self](receipt_made& made) { take_receipt(self, made); },
      [self](const watch_tick&) { tick(self); },
  };
}

} // namespace ovir::actors
