#include "actors/stage/shard_actor.hpp"

#include "actors/runtime/turn_here_actor.hpp"
#include "actors/stage/shard_cache_actor.hpp"
#include "actors/stage/shard_evidence_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/gather.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
#include <limits>

namespace ovir::actors {

namespace {

// What a pass of one step tells of this machine's speed. Steps that failed or skipped rows tell
// nothing, and passes of several little.
void note_speed(const std::vector<shard_job>& pass, const std::vector<shard_outcome>& outcomes,
                position before, std::chrono::duration<double> time, stage_bench& bench) {
  const auto* const step = std::get_if<step_work>(&pass.front().work);
  if (!bench.meter || pass.size() != 1 || step == nullptr || !outcomes.front().done ||
      outcomes.front().length - before != step->header.count) {
    return;
  }
  const std::uint32_t count = step->header.count;
  const compute::segment& segment = *bench.segment;
  const std::uint64_t bytes = count == 1 ? segment.weight_bytes() : segment.layer_bytes();
  bench.meter->add({bytes, count, time.count()});
}

std::vector<shard_outcome> perform_timed(const std::vector<shard_job>& pass, stage_bench& bench,
                                         compute::parallel_runner& runner,
                                         std::chrono::nanoseconds& time) {
  if (bench.env == nullptr) {
    return perform(pass, bench, runner);
  }
  const position before = pass.front().data->state.kv.length();
  const auto start = bench.env->now();
  std::vector<shard_outcome> outcomes = perform(pass, bench, runner);
  time = bench.env->now() - start;
  if (bench.meter) {
    std::uint64_t positions = 0;
    for (const shard_job& job : pass) {
      const auto* const step = std::get_if<step_work>(&job.work);
      positions += step == nullptr ? 0 : step->header.count;
    }
    bench.meter->add_pass(positions, std::chrono::duration<double>(time).count());
  }
  note_speed(pass, outcomes, before, time, bench);
  return outcomes;
}

// Frames, not copies of them: what is made of these is not this thread's matter.
evidence_step evidence_of(const shard_job& job, const shard_outcome& outcome,
                          std::chrono::nanoseconds time) {
  if (!job.signs || !outcome.done) {
    return {};
  }
  const auto* const step = std::get_if<step_work>(&job.work);
  return {step == nullptr ? nullptr : step->frame,
          outcome.outgoing,
          outcome.leaves,
          outcome.logits,
          time,
          job.data,
          outcome.windows,
          std::holds_alternative<restore_work>(job.work)};
}

// What a pass computed goes on from the thread that computed it: the next stage need not wait until
// this actor wakes. A frame of an epoch that ended meanwhile is void where it arrives.
void post(shard_pointer self, std::vector<shard_job> pass) {
  shard_state& state = self->state;
  std::vector<frame_sink> sinks;
  sinks.reserve(pass.size());
  for (const shard_job& job : pass) {
    sinks.push_back(state.routes.at(job.request).next);
  }
  state.executor->post([pass = std::move(pass), sinks = std::move(sinks), bench = state.bench,
                        alive = state.alive,
                        shard = shard_actor{self}](compute::parallel_runner& runner) {
    if (!alive->load(std::memory_order_relaxed)) {
      return;
    }
    shard_pass_done done;
    std::vector<shard_outcome> outcomes = perform_timed(pass, *bench, runner, done.time);
    for (std::size_t i = 0; i < pass.size(); ++i) {
      // Before `step_done`, so that a lead that sees the last stage at the end has its logits.
      shard_outcome& outcome = outcomes[i];
      evidence_step evidence =
          evidence_of(pass[i], outcome, done.time / static_cast<std::int64_t>(pass.size()));
      if (outcome.done && outcome.outgoing && alive->load(std::memory_order_relaxed)) {
        tensor_frame frame{std::move(outcome.outgoing)};
        // One request's next stage, or its lead, goes on here and now. Those of several go on side
        // by side.
        if (pass.size() == 1) {
          send_and_run(sinks[i], std::move(frame));
        } else {
          caf::anon_send(sinks[i], std::move(frame));
        }
      }
      done.jobs.push_back(
          {pass[i].request, pass[i].driver, pass[i].data, std::move(outcome), std::move(evidence)});
    }
    send_and_run(shard, std::move(done));
  });
}

// A small share of the time that the pass takes which they would else miss; once, all of it, or
// the time in which all who decode must come by.
std::chrono::nanoseconds wait_for_others(const shard_state& state) {
  using std::chrono::nanoseconds;
  if (state.core->mustering()) {
    return std::min<nanoseconds>(state.away, limits::muster_wait_max);
  }
  if (state.core->regrouping()) {
    return std::min<nanoseconds>(state.pass_time, limits::regroup_wait_max);
  }
  return state.rested ? std::min<nanoseconds>(state.pass_time / limits::gather_divisor_at_rest,
                                              limits::regroup_wait_max)
                      : std::min<nanoseconds>(state.pass_time / limits::gather_divisor,
                                              limits::gather_wait_max);
}

// Starts a pass where there is one, or waits for others to join it.
void post_next(shard_pointer self) {
  shard_state& state = self->state;
  std::vector<shard_job> pass = state.core->next_pass(state.pass_time.count() > 0);
  if (!pass.empty()) {
    state.waits = false;
    post(self, std::move(pass));
  } else if (state.core->gathering() && !state.waits) {
    state.waits = true;
    self->delayed_send(self, wait_for_others(state), shard_gather_over{++state.gather});
  }
}

void gather_over(shard_pointer self, std::uint64_t gather) {
  shard_state& state = self->state;
  if (!state.waits || gather != state.gather) {
    return;
  }
  state.waits = false;
  if (auto pass = state.core->next_pass(false); !pass.empty()) {
    post(self, std::move(pass));
  }
}

void report_failure(shard_pointer self, request_id request, epoch driver, const error& reason) {
  const auto route = self->state.routes.find(request);
  if (route != self->state.routes.end()) {
    self->send(route->second.lead, from_stage<stage_failed>{{reason}, route->second.stage, driver});
  }
}

void answer_opened(shard_pointer self, shard_core::session& session) {
  const shard_state::route& route = self->state.routes.at(session.request);
  session.open_owed = false;
  shard_core::drop_drafts(session);
  from_stage<session_opened> answer{
      {session.length, session.data->leaves}, route.stage, session.driver};
  answer.replays_from = session.data->boundaries.first();
  answer.reused = session.reused;
  answer.inputs = session.data->reused_inputs;
  if (route.explain) {
    answer.told = route.told;
    answer.told->found = session.reused_to / limits::window_positions;
    if (answer.told->found < answer.told->wanted && answer.told->end == reuse_end::all) {
      answer.told->end = reuse_end::unanswered; // there is no cache to ask
    }
  }
  self->send(route.lead, std::move(answer));
}

// The session's job has ended: the stage says how far it is, or takes from the cache what it can
// before.
void settle_open(shard_pointer self, shard_core::session& session) {
  if (self->state.routes.at(session.request).sign_owed) {
    return;
  }
  if (may_reuse(self, session)) {
    ask_cache(
        self, session, [self](shard_core::session& s) { answer_opened(self, s); },
        [self] { post_next(self); });
  } else {
    answer_opened(self, session);
  }
}

// Of what came from the cache not all fits together.
void refuse_rest(shard_pointer self, shard_core::session& session) {
  shard_state::route& route = self->state.routes.at(session.request);
  refuse_windows(self, session, session.length / limits::window_positions);
  session.reused_to = session.length;
  route.reuse_done = true;
  route.told.end = reuse_end::damaged;
}

void answer_finished(shard_pointer self, shard_core::session& session) {
  const shard_state::route& route = self->state.routes.at(session.request);
  session.finish_owed = false;
  shard_core::drop_drafts(session);
  from_stage<session_finished> answer{self->state.core->describe(session), route.stage,
                                      session.driver};
  finish_evidence(self, session, answer.leaves);
  keep_last_inputs(self, session);
  self->send(route.lead, std::move(answer));
}

void take_reuse(shard_state::route& route, std::optional<reuse_order> order) {
  route.explain = order && order->explain;
  route.reuse_windows = order ? order->windows : 0;
  if (route.explain) {
    route.told.wanted =
        std::min(order->windows, static_cast<std::uint32_t>(order->prefixes.size()));
  }
  route.prefixes =
      order ? std::make_shared<const std::vector<digest>>(std::move(order->prefixes)) : nullptr;
}

void open(shard_pointer self, open_session& command) {
  shard_state& state = self->state;
  const auto known = state.routes.find(command.request);
  const bool same_lead = known != state.routes.end() && known->second.lead == command.lead;
  // Where nothing may be reused any more, the last stage need not replay what it took.
  const bool last = state.bench->segment->is_last();
  const position reuse = command.reuse ? command.reuse->windows * limits::window_positions
                         : last        ? std::numeric_limits<position>::max()
                                       : 0;
  const auto opened = state.core->open(command.request, command.driver, command.positions,
                                       command.keep, reuse, std::move(command.model));
  if (!opened) {
    self->send(command.lead,
               from_stage<stage_failed>{{opened.error()}, command.stage, command.driver});
    return;
  }
  if (known != state.routes.end() && !same_lead) {
    self->demonitor(known->second.lead.address());
  }
  shard_state::route& route = state.routes[command.request];
  if (route.data != nullptr && route.data != state.core->find(command.request)->data) {
    route = {}; // the session began afresh
  }
  route.stage = command.stage;
  route.lead = command.lead;
  route.next = command.next;
  route.sign_owed = command.signs;
  route.reusing = route.reuse_done = false;
  route.traces = command.traces;
  route.sealed = command.sealed;
  const auto doubted = command.reuse ? command.reuse->doubted_from : std::nullopt;
  take_reuse(route, std::move(command.reuse));
  if (!same_lead) {
    self->monitor(command.lead);
  }
  shard_core::session& session = *state.core->find(command.request);
  session.answers = command.answers;
  session.open_owed = true;
  if (doubted) {
    refuse_windows(self, session, *doubted);
  }
  begin_keeping(self, session);
  if (!session.busy) {
    settle_open(self, session);
  }
}

void sign(shard_pointer self, const to_stage<sign_evidence>& order) {
  if (const auto begun = begin_evidence(self, order); !begun) {
    return report_failure(self, order.request, order.driver, begun.error());
  }
  const auto route = self->state.routes.find(order.request);
  shard_core::session* const session = self->state.core->find(order.request);
  if (route == self->state.routes.end() || session == nullptr || session->driver != order.driver) {
    return;
  }
  const bool owed = std::exchange(route->second.sign_owed, false);
  if (owed && session->open_owed && !session->busy) {
    settle_open(self, *session);
  }
}

void close(shard_pointer self, request_id request) {
  const auto route = self->state.routes.find(request);
  if (route == self->state.routes.end()) {
    return;
  }
  claim_evidence(self, request);
  self->demonitor(route->second.lead.address());
  self->state.routes.erase(route);
  self->state.keepers.erase(request);
  self->state.core->close(request);
}

void lead_down(shard_pointer self, const caf::down_msg& message) {
  std::vector<request_id> orphans;
  for (const auto& [request, route] : self->state.routes) {
    if (route.lead.address() == message.source) {
      orphans.push_back(request);
    }
  }
  for (const request_id request : orphans) {
    claim_evidence(self, request);
    self->state.routes.erase(request);
    self->state.keepers.erase(request);
    self->state.core->close(request);
  }
}

void job_done(shard_pointer self, shard_job_done& done, std::chrono::nanoseconds time) {
  shard_core::session* session = self->state.core->job_ended(done.request, done.outcome.length);
  if (session == nullptr) {
    return;
  }
  const shard_state::route& route = self->state.routes.at(done.request);
  if (!done.outcome.done) {
    report_failure(self, done.request, done.driver, done.outcome.done.error());
  }
  if (done.evidence.data != nullptr) {
    note_step(self, *session, done.driver, std::move(done.evidence));
  }
  if (session->data == done.data) {
    // Before the lead learns of them.
    keep_complete(self, *session, done.outcome.leaves, std::move(done.outcome.windows), time);
    keep_window_inputs(self, *session, std::move(done.outcome.kept));
  }
  const bool tells = tells_time(done.outcome.length);
  if (!done.outcome.told || route.traces || tells) {
    from_stage<step_done> news{
        {done.outcome.length, done.outcome.units, std::move(done.outcome.leaves)},
        route.stage,
        done.driver};
    if (route.traces) {
      news.computed = std::chrono::duration_cast<step_time>(
          std::min<std::chrono::nanoseconds>(time, step_time::max()));
    }
    if (tells && route.came && self->state.rests_since) {
      news.held = std::chrono::duration_cast<step_time>(std::clamp<std::chrono::nanoseconds>(
          *self->state.rests_since - *route.came, std::chrono::nanoseconds{0}, step_time::max()));
    }
    self->send(route.lead, std::move(news));
  }
  if (session->reused_to > session->length && session->data == done.data) {
    refuse_rest(self, *session);
  }
  if (session->open_owed) {
    settle_open(self, *session);
  }
  if (shard_core::finishes_now(*session)) {
    answer_finished(self, *session);
  }
}

void pass_done(shard_pointer self, shard_pass_done& done) {
  shard_state& state = self->state;
  state.pass_time = done.time;
  state.rested = false;
  if (state.bench->env != nullptr) {
    state.rests_since = state.bench->env->now();
  }
  for (shard_job_done& job : done.jobs) {
    if (const auto route = state.routes.find(job.request); route != state.routes.end()) {
      route->second.last_pass = state.rests_since;
    }
    job_done(self, job, done.time / static_cast<std::int64_t>(done.jobs.size()));
  }
  post_next(self);
}

// Before a frame of this request is taken.
void note_rest(shard_state& state, request_id request) {
  const auto route = state.routes.find(request);
  if (!state.rests_since || !state.core->at_rest() || route == state.routes.end() ||
      !route->second.last_pass) {
    return;
  }
  const auto now = state.bench->env->now();
  state.rested = now - *state.rests_since > state.pass_time / limits::burst_gap_divisor;
  if (state.rested) {
    state.away = now - *route->second.last_pass;
    state.core->begin_burst();
  }
}

void note_came(shard_state& state, request_id request) {
  const auto route = state.routes.find(request);
  if (route != state.routes.end() && state.bench->env != nullptr) {
    route->second.came = state.bench->env->now();
  }
}

void take_frame(shard_pointer self, const tensor_frame& frame) {
  const auto view = decode_frame(*frame.bytes);
  if (view && view->header.kind == frame_kind::evidence) {
    return take_evidence(self, view->header, frame.bytes);
  }
  if (view) {
    note_rest(self->state, view->header.request);
    note_came(self->state, view->header.request);
  }
  const auto accepted = self->state.core->accept(frame.bytes);
  if (view && accepted) {
    commit_evidence(self, view->header);
  } else if (view) {
    report_failure(self, view->header.request, view->header.epoch, accepted.error());
  }
  post_next(self);
}

template <class Order>
void take_order(shard_pointer self, const Order& order, const result<void>& taken) {
  if (!taken) {
    report_failure(self, order.request, order.driver, taken.error());
  }
  post_next(self);
}

void finish(shard_pointer self, const to_stage<finish_session>& order) {
  self->state.core->finish(order);
  shard_core::session* session = self->state.core->find(order.request);
  if (session != nullptr && shard_core::finishes_now(*session)) {
    answer_finished(self, *session);
  }
}

} // namespace

shard_actor::behavior_type shard_behavior(shard_pointer self, std::shared_ptr<stage_bench> bench,
                                          compute_executor* executor) {
  make_quiet(self);
  self->state.core = std::make_unique<shard_core>(bench);
  self->state.bench = std::move(bench);
  self->state.executor = executor;
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  self->attach_functor([alive = self->state.alive] { alive->store(false); });
  return {
      [self](const tensor_frame& frame) { take_frame(self, frame); },
      [self](open_session& command) { open(self, command); },
      [self](const to_stage<replay_boundaries>& order) {
        take_order(self, order, self->state.core->replay(order));
      },
      [self](const to_stage<resend_logits>& order) {
        take_order(self, order, self->state.core->resend(order));
      },
      [self](const to_stage<finish_session>& order) { finish(self, order); },
      [self](const to_stage<close_session>& command) { close(self, command.request); },
      // For a stage on another node, whose host keeps the log.
      [](const to_stage<log_token>&) {},
      [](const to_stage<withdraw_log>&) {},
      [self](const to_stage<sign_evidence>& order) { sign(self, order); },
      [self](const to_stage<name_windows>& names) { name_more(self, names); },
      [self](shard_pass_done& done) { pass_done(self, done); },
      [self](const shard_gather_over& over) { gather_over(self, over.gather); },
  };
}

} // namespace ovir::actors
