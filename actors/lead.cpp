#include "actors/lead.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/frame.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using lead_pointer = lead_actor::stateful_pointer<lead_state>;

/// Ids the repeat penalty looks at; a draw needs no more of the history.
constexpr std::size_t penalty_window = 64;

void perform(lead_pointer self, const open_effect& e) {
  lead_state& state = self->state;
  const std::size_t next = e.stage.value + 1;
  const bool last = next == state.shards.size();
  self->send(state.shards[e.stage.value],
             open_session{state.request, state.core->current_epoch(), e.stage,
                          state.core->positions_max(), lead_actor{self},
                          last ? frame_sink{lead_actor{self}} : frame_sink{state.shards[next]}});
}

void perform(lead_pointer self, const tokens_effect& e) {
  lead_state& state = self->state;
  if (!state.first_frame) {
    state.first_frame = state.environment.env->now();
  }
  const frame_header header{
      frame_kind::tokens, state.request, state.core->current_epoch(), e.first, e.count, 1,
      e.logit_rows};
  const auto ids = state.core->history().subspan(e.first, e.count);
  self->send(state.shards.front(), tensor_frame{std::make_shared<const std::vector<std::byte>>(
                                       encode_frame(header, std::as_bytes(ids)))});
}

void perform(lead_pointer self, const replay_effect& e) {
  lead_state& state = self->state;
  self->send(state.shards[e.stage.value],
             replay_boundaries{state.request, state.core->current_epoch(), e.first, e.count,
                               e.logit_rows});
}

void perform(lead_pointer self, const resend_effect& e) {
  lead_state& state = self->state;
  self->send(state.shards.back(), resend_logits{state.request, state.core->current_epoch(), e.at});
}

void perform(lead_pointer self, const finish_effect& e) {
  lead_state& state = self->state;
  self->send(state.shards[e.stage.value],
             finish_session{state.request, state.core->current_epoch()});
}

void perform(lead_pointer self, const draw_effect& e) {
  lead_state& state = self->state;
  const auto history = state.core->history();
  const auto recent = history.last(std::min(history.size(), penalty_window));
  state.environment.executor->post([lead = lead_actor{self}, frame = std::move(state.logits),
                                    sampler = state.sampler,
                                    recent = std::vector<token_id>{recent.begin(), recent.end()},
                                    at = e.at](compute::parallel_runner&) {
    const auto view = decode_frame(*frame);
    OVIR_CHECK(view.has_value());
    const token_id token = sampler->draw(view->floats(), recent, at + 1);
    caf::anon_send(lead, token_drawn{at, token, compute::logits_digest(at, view->floats())});
  });
}

void perform(lead_pointer self, const text_effect& e) {
  caf::anon_send(self->state.requester, text_piece{self->state.request, e.text});
}

void perform(lead_pointer self, const kill_effect& e) {
  caf::anon_send_exit(self->state.shards[e.stage.value], caf::exit_reason::kill);
}

void perform(lead_pointer self, const end_effect&) {
  lead_state& state = self->state;
  auto outcome = state.core->outcome();
  if (outcome && state.first_frame && state.first_token) {
    generation_report& report = *outcome;
    report.time_to_first_token = *state.first_token - state.started;
    report.prefill_time = *state.first_token - *state.first_frame;
    report.decode_time = state.last_token - *state.first_token;
  }
  for (const shard_actor& shard : state.shards) {
    if (shard) {
      self->send(shard, close_session{state.request});
      // A monitor stays in the shard, and this actor's memory with it, as long as the shard lives.
      self->demonitor(shard.address());
    }
  }
  caf::anon_send(state.requester, generation_done{state.request, std::move(outcome)});
  self->quit();
}

void perform_all(lead_pointer self, const lead_core::effects& effects) {
  ++self->state.progress;
  for (const lead_effect& effect : effects) {
    std::visit([self](const auto& e) { perform(self, e); }, effect);
  }
}

void stage_changed(lead_pointer self, const stage_up& news) {
  lead_state& state = self->state;
  if (!news.handle) {
    perform_all(self, state.core->fail_with(
                          {errc::restarts_exhausted,
                           fmt::format("stage {} crashed too often and was given up ({}); the "
                                       "request is lost, later ones are served once it is back",
                                       news.stage.value, news.reason.message)}));
    return;
  }
  if (news.stage.value >= state.shards.size()) {
    return;
  }
  state.shards[news.stage.value] = news.handle;
  self->monitor(news.handle);
  perform_all(self, state.core->on_stage_up(news.stage));
}

void shard_down(lead_pointer self, const caf::down_msg& message) {
  lead_state& state = self->state;
  for (std::uint32_t i = 0; i < state.shards.size(); ++i) {
    if (state.shards[i] && state.shards[i].address() == message.source) {
      state.shards[i] = nullptr;
      perform_all(self, state.core->on_stage_down(stage_index{i}));
    }
  }
}

void take_logits(lead_pointer self, const tensor_frame& frame) {
  lead_state& state = self->state;
  const auto view = decode_frame(*frame.bytes);
  if (!view || view->header.kind != frame_kind::logits || view->header.request != state.request ||
      view->header.width != state.environment.vocabulary->vocabulary()) {
    perform_all(self, state.core->fail_with(
                          {errc::malformed, "the last stage sent a frame that holds no logits"}));
    return;
  }
  const auto effects =
      state.core->on_logits(view->header.epoch, view->header.first + view->header.count - 1);
  if (!effects.empty()) {
    state.logits = frame.bytes;
  }
  perform_all(self, effects);
}

void take_token(lead_pointer self, const token_drawn& drawn) {
  lead_state& state = self->state;
  state.last_token = state.environment.env->now();
  if (!state.first_token) {
    state.first_token = state.last_token;
  }
  perform_all(self, state.core->on_drawn(drawn));
}

// Every wait has an end: a request in which nothing moves for a whole deadline is over.
void tick(lead_pointer self) {
  lead_state& state = self->state;
  if (state.progress == state.progress_seen) {
    perform_all(self, state.core->fail_with(
                          {errc::timed_out,
                           fmt::format("no stage answered for {} s; try again, or use fewer or "
                                       "smaller stages",
                                       limits::step_deadline.count())}));
    return;
  }
  state.progress_seen = state.progress;
  self->delayed_send(self, limits::step_deadline, watch_tick{});
}

} // namespace

lead_actor::behavior_type lead_behavior(lead_pointer self, generation_request request,
                                        caf::actor requester, lead_environment environment) {
  make_quiet(self);
  lead_state& state = self->state;
  state.request = request.id;
  state.requester = std::move(requester);
  state.environment = std::move(environment);
  state.shards.resize(state.environment.shape.stages);
  state.sampler = std::make_shared<compute::sampler>(request.sampling);
  state.started = state.environment.env->now();
  state.core.emplace(std::move(request), state.environment.shape, *state.environment.vocabulary);
  self->set_down_handler([self](caf::down_msg& message) { shard_down(self, message); });
  self->send(state.environment.directory, watch_shards{lead_actor{self}});
  self->delayed_send(self, limits::step_deadline, watch_tick{});
  state.progress = 1;
  return {
      [self](const tensor_frame& frame) { take_logits(self, frame); },
      [self](const session_opened& e) { perform_all(self, self->state.core->on_opened(e)); },
      [self](const step_done& e) { perform_all(self, self->state.core->on_step(e)); },
      [self](const session_finished& e) { perform_all(self, self->state.core->on_finished(e)); },
      [self](const stage_failed& e) { perform_all(self, self->state.core->on_failed(e)); },
      [self](const stage_up& news) { stage_changed(self, news); },
      [self](const cancel_request&) { perform_all(self, self->state.core->on_cancel()); },
      [self](const token_drawn& drawn) { take_token(self, drawn); },
      [self](const watch_tick&) { tick(self); },
  };
}

} // namespace ovir::actors
