#include "actors/request/jobs_actor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/mutant.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

void perform(jobs_pointer self, run_effect& e) {
  self->send(self->state.environment.scheduler,
             submit_request{std::move(e.request), caf::actor_cast<caf::actor>(self)});
}

void perform(jobs_pointer self, const cancel_effect& e) {
  self->send(self->state.environment.scheduler, cancel_request{e.request});
}

void perform(jobs_pointer self, const pause_effect& e) {
  self->delayed_send(self, e.pause, begin_job_again{e.request, e.attempt});
}

void perform(jobs_pointer self, token_effect& e) {
  self->send(self->state.watchers.at(e.watcher), job_token{std::move(e.token), e.tag});
}

void perform(jobs_pointer self, const over_effect& e) {
  self->send(self->state.watchers.at(e.watcher), job_over{e.tag, e.outcome});
}

void perform(jobs_pointer self, const receipt_effect& e) {
  if (self->state.environment.finished) {
    self->state.environment.finished(e);
  }
}

void perform(jobs_pointer self, const note_effect& e) {
  self->state.environment.journal->say(e.level, e.request, "{}", e.text);
}

void perform_all(jobs_pointer self, jobs_core::effects& effects) {
  bool ended = false;
  for (job_effect& effect : effects) {
    ended = ended || std::holds_alternative<over_effect>(effect);
    std::visit([self](auto& e) { perform(self, e); }, effect);
  }
  if (ended) {
    std::erase_if(self->state.watchers,
                  [&](const auto& entry) { return !self->state.core->is_watched_by(entry.first); });
  }
}

storage::env::time_point now_of(jobs_pointer self) { return self->state.environment.env->now(); }

/// Calls `event` with effects and performs them, whatever it returns.
template <class Event>
auto with_effects(jobs_pointer self, Event event) {
  jobs_core::effects out;
  if constexpr (std::is_void_v<decltype(event(out))>) {
    event(out);
    perform_all(self, out);
  } else {
    auto answer = event(out);
    perform_all(self, out);
    return answer;
  }
}

/// One that is known and may be seen by any node is not one that few may see.
result<void> check_privacy(const jobs_state& state, request_id id, privacy_mode wanted,
                           const std::optional<tier_demand>& tier) {
  if (tier && state.core->is_of_another(id, *tier)) {
    return fail(errc::invalid_argument,
                "request {:016x} is known here and demands another tier, or none; choose another "
                "id",
                id.value);
  }
  if (wanted == privacy_mode::ends && state.core->is_open(id)) {
    return fail(errc::invalid_argument,
                "request {:016x} is known here and any node may be sent it; choose another id for "
                "one with privacy ends",
                id.value);
  }
  return {};
}

result<void> start(jobs_pointer self, generation_request request, request_id named, bool from_log) {
  jobs_state& state = self->state;
  OVIR_TRY(make_private(request, state.environment.settings.privacy));
  OVIR_TRY(check_privacy(state, request.id, request.privacy, request.tier));
  const auto model = state.environment.models->find(request.model);
  std::optional<compute::model_config> config;
  if (model) {
    config = model->weights.config;
    config->context = std::min(config->context, model->context);
  }
  return with_effects(self, [&](jobs_core::effects& out) {
    return state.core->start(std::move(request), named, from_log, config ? &*config : nullptr,
                             now_of(self), out);
  });
}

result<void> watch(jobs_pointer self, const watch_job& command) {
  jobs_state& state = self->state;
  OVIR_TRY(check_privacy(state, command.request, command.privacy, command.tier));
  const std::uint64_t key = command.watcher.id();
  state.watchers.insert_or_assign(key, command.watcher);
  auto begun = with_effects(self, [&](jobs_core::effects& out) {
    return state.core->begin_watch({command.request, command.from, key, command.tag, command.bunch,
                                    command.terms, command.named, command.or_anew, command.reveal},
                                   out);
  });
  if (!begun && !state.core->is_watched_by(key)) {
    state.watchers.erase(key);
  }
  return begun;
}

void unwatch(jobs_pointer self, const unwatch_job& command) {
  const std::uint64_t key = command.watcher.id();
  self->state.core->end_watch(key, command.tag);
  if (!self->state.core->is_watched_by(key)) {
    self->state.watchers.erase(key);
  }
}

generation_request request_from(request_log log) {
  generation_request request;
  static_cast<request_log&>(request) = std::move(log);
  request.generation += OVIR_MUTANT("jobs_adopt_in_the_same_generation") ? 0 : 1;
  return request;
}

void adopt(jobs_pointer self, adoption_asked& asked) {
  jobs_state& state = self->state;
  const request_id id = asked.log.id;
  if (asked.log.ends && !is_named(*asked.log.ends, state.environment.self)) {
    state.environment.journal->say(log_level::warn, id, "{} showed it, which names other nodes",
                                   short_name(asked.from));
    return;
  }
  if (state.core->may_go_on(id)) {
    const auto model = state.environment.models->find(asked.log.model);
    const std::size_t drawn = asked.log.drawn.size();
    auto started = state.core->check_adoption(asked.from, asked.log,
                                              model ? model->weights.config.vocabulary : 0);
    if (started) {
      started = start(self, request_from(std::move(asked.log)), {}, true);
    }
    if (!started) {
      state.environment.journal->say(log_level::warn, id, "cannot go on here: {}",
                                     started.error().message);
      return;
    }
    state.core->note_adopted(id, asked.from);
    state.environment.journal->say(log_level::info, id, "goes on here, after {} tokens elsewhere",
                                   drawn);
  }
  state.environment.links->send_wire(asked.from, {id, {}, 0, wire_adopted{}});
}

void resume(jobs_pointer self) {
  jobs_state& state = self->state;
  for (request_log& log : OVIR_MUTANT("jobs_forget_their_log")
                              ? std::vector<request_log>{}
                              : state.environment.requests->unfinished()) {
    const request_id id = log.id;
    if (!state.core->knows(id)) {
      const auto started = start(self, request_from(std::move(log)), {}, true);
      if (!started) {
        state.environment.journal->say(log_level::warn, id, "cannot go on: {}",
                                       started.error().message);
      }
    }
  }
}

caf::result<bool> answer(const result<void>& outcome) {
  return outcome ? caf::result<bool>{true} : caf::result<bool>{to_caf(outcome.error())};
}

/// Why a request that is over, or not known, was cancelled and may come back; else nothing.
result<void> stays_cancelled(const job_phase& now) {
  if (!now.outcome) {
    return {};
  }
  const result<generation_report>& report = now.outcome->report;
  const auto why = report ? report->not_withdrawn : std::optional{report.error()};
  return why && why->code == errc::io_failed ? result<void>{*why} : result<void>{};
}

/// What is told of a request that is cancelled and has no lead, which would withdraw its log: one
/// may be left of an earlier life, or of a lead that failed.
error cancelled_without_lead(const jobs_state& state, request_id id) {
  if (request_journal* const logs = state.environment.requests) {
    const auto kept = logs->withdraw(id);
    logs->done(id);
    if (!kept) {
      return kept.error();
    }
  }
  return fail(errc::cancelled, "request {:016x} was cancelled", id.value);
}

// Answers once the request is over, so that no crash brings it back.
caf::result<bool> cancel(jobs_pointer self, request_id id, bool asked) {
  jobs_state& state = self->state;
  const error why = state.core->phase_of(id).paused ? cancelled_without_lead(state, id) : error{};
  const auto begun = with_effects(self, [&](jobs_core::effects& out) {
    return state.core->cancel(id, asked, why, now_of(self), out);
  });
  const job_phase now = state.core->phase_of(id);
  if (!begun || !now.under_way) {
    return answer(begun ? stays_cancelled(now) : begun);
  }
  if (state.cancels.size() >= limits::requests_active_max) {
    return to_caf(fail(errc::busy, "{} cancellations wait", state.cancels.size()));
  }
  auto promise = self->make_response_promise<bool>();
  if (promise.pending()) {
    state.cancels.emplace_back(id, promise);
  }
  return promise;
}

void tell_cancelled(jobs_pointer self) {
  std::erase_if(self->state.cancels, [&](auto& one) {
    const job_phase now = self->state.core->phase_of(one.first);
    if (now.under_way) {
      return false;
    }
    if (const auto kept = stays_cancelled(now); !kept) {
      one.second.deliver(to_caf(kept.error()));
    } else {
      one.second.deliver(true);
    }
    return true;
  });
}

void take_end(jobs_pointer self, generation_done& done) {
  if (!done.outcome && done.outcome.error().code == errc::cancelled) {
    done.outcome = cancelled_without_lead(self->state, done.request);
  }
  with_effects(
      self, [&](jobs_core::effects& out) { self->state.core->take_end(done, now_of(self), out); });
  tell_cancelled(self);
}

caf::result<kept_receipt> receipt_of(jobs_pointer self, request_id request) {
  auto made = self->state.core->receipt_of(request);
  return made ? caf::result<kept_receipt>{kept_receipt{std::move(*made)}}
              : caf::result<kept_receipt>{to_caf(made.error())};
}

} // namespace

caf::behavior jobs_behavior(jobs_pointer self, jobs_environment environment) {
  make_quiet(self);
  self->state.core.emplace(environment.settings);
  self->state.environment = std::move(environment);
  const auto core = [self]() -> jobs_core& { return *self->state.core; };
  return {
      [self](submit_job& command) {
        return answer(start(self, std::move(command.request), command.named, false));
      },
      [self](const watch_job& command) { return answer(watch(self, command)); },
      [self](const unwatch_job& command) { unwatch(self, command); },
      [self](const cancel_job& command) { return cancel(self, command.request, command.asked); },
      [self, core](const begin_job_again& command) {
        with_effects(self, [&](jobs_core::effects& out) {
          core().go_on(command.request, command.attempt, now_of(self), out);
        });
      },
      [self, core](const list_jobs&) { return core().list(now_of(self)); },
      [self](const read_receipt& e) { return receipt_of(self, e.request); },
      [core](const drain_jobs&) { core().drain(); },
      [self, core](const text_piece& piece) {
        with_effects(self, [&](jobs_core::effects& out) { core().take_piece(piece, out); });
      },
      [core](pace_told& news) { core().take_pace(news.request, std::move(news.pace)); },
      [core](path_taken& news) { core().take_path(news.request, news.from, std::move(news.path)); },
      [self](generation_done& done) { take_end(self, done); },
      [self](const receipt_closed& e) {
        perform(self, receipt_effect{e.request, e.bytes});
      },
      [self](const receipt_part& e) {
        perform(self, receipt_effect{.request = e.request, .bytes = e.bytes, .part = true});
      },
      [self](adoption_asked& asked) { adopt(self, asked); },
      [self](const resume_jobs&) { resume(self); },
  };
}

} // namespace ovir::actors
