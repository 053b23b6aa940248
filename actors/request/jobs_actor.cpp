#include "actors/request/jobs_actor.hpp"

#include "actors/request/request_check.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/console.hpp"
#include "messages/limits/logprobs.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using job = jobs_state::job;

constexpr std::uint32_t recomputations_max = 5; ///< of one request
constexpr std::chrono::milliseconds begin_again_after{200};
/// Where two runs differ, the verifiers get the time to find out who lied, so that he is not asked
/// again: each time twice as long as before, 62 s in all.
constexpr std::chrono::milliseconds audits_first{2'000};

digest terms_with(request_terms terms, bool receipt) {
  terms.receipt = receipt;
  return digest_of(terms);
}

result<void> check_terms(const job& j, const digest& terms) {
  if (terms == j.terms || terms == j.terms_unsigned) {
    return {};
  }
  return fail(errc::invalid_argument,
              "request {:016x} is known here and is another one; choose another id",
              j.request.id.value);
}

std::uint64_t logprobs_of(const job& j) {
  return j.request.logprobs ? j.pieces.size() * (std::uint64_t{*j.request.logprobs} + 1) : 0;
}

/// The one that ended last is kept whatever it takes: whoever waits for it is about to read it.
void forget_old(jobs_pointer self) {
  jobs_state& state = self->state;
  while (state.finished.size() > limits::jobs_kept_max ||
         (state.finished.size() > 1 && state.logprobs_kept > limits::logprobs_kept_max)) {
    const auto oldest = state.jobs.find(state.finished.front());
    state.logprobs_kept -= logprobs_of(oldest->second);
    state.jobs.erase(oldest);
    state.finished.pop_front();
  }
}

void submit(jobs_pointer self, const job& j) {
  std::vector<generation_request> runs{j.request};
  if (j.twice) {
    runs.push_back(j.request);
    runs.back().id = twin_of(j.request.id);
    runs.back().kill_shards = 0;
    runs.back().payment = nullptr; // looking twice is this node's wish
  }
  for (generation_request& run : runs) {
    if (run.trace) {
      run.taken = j.started;
    }
    self->send(self->state.environment.scheduler,
               submit_request{std::move(run), caf::actor_cast<caf::actor>(self)});
  }
}

result<void> start(jobs_pointer self, generation_request request, request_id named, bool from_log) {
  jobs_state& state = self->state;
  const digest terms = digest_of(request);
  if (const auto known = state.jobs.find(request.id); known != state.jobs.end()) {
    OVIR_TRY(check_terms(known->second, terms));
    known->second.named = named.value != 0 ? named : known->second.named;
    return {};
  }
  if (state.draining) {
    return fail(errc::busy, "this node drains and takes no new request; ask another scheduler");
  }
  const auto model = state.environment.models->find(request.model);
  if (!model) {
    return fail(errc::not_found, "this node does not know model {}",
                to_hex(request.model).substr(0, 8));
  }
  compute::model_config config = model->weights.config;
  config.context = std::min(config.context, model->context);
  OVIR_TRY(check(config, request));
  bool alone = true;
  for (auto& [id, other] : state.jobs) {
    if (!other.outcome) {
      alone = other.alone = false;
    }
  }
  job& fresh = state.jobs[request.id];
  fresh.receipt_asked = request.receipt;
  fresh.named = named;
  fresh.terms = terms;
  if (from_log && request.receipt) {
    fresh.terms_unsigned = terms_with(request, false);
  }
  const bool whole = request.drawn.empty() && request.generation == 0;
  const std::uint32_t least = state.environment.twice_tokens;
  if (whole && least > 0 && request.prompt.size() + request.max_tokens >= least) {
    fresh.twice.emplace();
  }
  request.receipt =
      request.receipt || (whole && (state.environment.signs_all || fresh.twice.has_value()));
  fresh.request = request;
  fresh.alone = alone;
  fresh.started = state.environment.env->now();
  fresh.deadline = fresh.started + request.deadline;
  state.environment.journal->say(
      log_level::info, request.id, "accepted: {} prompt tokens, {} more at most, generation {}{}",
      request.prompt.size(), request.max_tokens, request.generation,
      named.value == 0 ? std::string{}
                       : fmt::format(", called {:016x} by its client", named.value));
  submit(self, fresh);
  return {};
}

void send_pieces(jobs_pointer self, const job& j, jobs_state::watcher& w) {
  for (; w.next < j.pieces.size(); ++w.next) {
    const jobs_state::piece& piece = j.pieces[w.next];
    self->send(w.who, job_token{{w.next, piece.token, piece.text, piece.logprobs}, w.tag});
  }
  if (j.outcome) {
    self->send(w.who, job_over{w.tag, j.outcome});
  }
}

result<void> watch(jobs_pointer self, const watch_job& command) {
  const auto found = self->state.jobs.find(command.request);
  if (found == self->state.jobs.end()) {
    return fail(errc::not_found, "this node does not drive request {:016x}", command.request.value);
  }
  job& j = found->second;
  if (command.terms) {
    OVIR_TRY(check_terms(j, *command.terms));
  }
  j.named = command.named.value != 0 ? command.named : j.named;
  if (command.from > j.pieces.size() && j.outcome) {
    return fail(errc::invalid_argument, "request {:016x} has {} tokens, and {} was asked for",
                command.request.value, j.pieces.size(), command.from);
  }
  jobs_state::watcher w{command.watcher, command.tag, command.from, command.bunch};
  send_pieces(self, j, w);
  if (!j.outcome) {
    j.watchers.push_back(std::move(w));
  }
  return {};
}

void unwatch(jobs_pointer self, const unwatch_job& command) {
  for (auto& [id, j] : self->state.jobs) {
    std::erase_if(j.watchers, [&](const jobs_state::watcher& w) {
      return w.who == command.watcher && (command.tag == 0 || w.tag == command.tag);
    });
  }
}

/// What was told from `index` on came from a node that was convicted since. Who heard it is told
/// so, and may ask again from there.
void correct(jobs_pointer self, job& j, std::uint32_t index) {
  auto wrong = std::make_shared<job_outcome>();
  wrong->request = j.request;
  wrong->report = error{errc::digest_mismatch,
                        fmt::format("the tokens from index {} on were computed wrongly by a node "
                                    "that was convicted since; ask for this request again from "
                                    "there",
                                    index)};
  j.pieces.resize(index);
  const auto heard = [&](const jobs_state::watcher& w) { return w.next > index; };
  for (const jobs_state::watcher& w : j.watchers) {
    if (heard(w)) {
      self->send(w.who, job_over{w.tag, wrong});
    }
  }
  std::erase_if(j.watchers, heard);
}

/// A request in which something was computed wrongly begins again, without what was drawn.
bool begin_again(jobs_pointer self, job& j, const error& reason) {
  jobs_state& state = self->state;
  // Its lead is about to end, and must have ended for another to start.
  const auto pause = j.twice ? audits_first * (1U << j.recomputed) : begin_again_after;
  if (reason.code != errc::digest_mismatch || j.recomputed >= recomputations_max ||
      state.environment.env->now() + pause >= j.deadline) {
    return false;
  }
  ++j.recomputed;
  ++j.request.generation;
  j.request.drawn = {};
  j.request.payment = nullptr; // what was signed pays once; the rest is the cluster's fault
  state.environment.journal->say(log_level::warn, j.request.id, "begins again: {}", reason.message);
  if (j.twice) {
    j.twice.emplace();
  }
  j.paused = true;
  self->delayed_send(self, pause, begin_job_again{j.request.id, j.recomputed});
  return true;
}

void go_on_after(jobs_pointer self, const begin_job_again& command) {
  const auto found = self->state.jobs.find(command.request);
  if (found == self->state.jobs.end() || !found->second.paused ||
      found->second.recomputed != command.attempt) {
    return; // cancelled meanwhile
  }
  job& j = found->second;
  j.paused = false;
  j.request.deadline = std::chrono::ceil<std::chrono::seconds>(
      std::max(j.deadline - self->state.environment.env->now(), {}));
  submit(self, j);
}

void tell(jobs_pointer self, job& j, std::uint32_t index, jobs_state::piece piece) {
  if (index < j.pieces.size() && j.pieces[index].token != piece.token) {
    correct(self, j, index);
  }
  if (index != j.pieces.size()) {
    return; // told again by a lead that went on
  }
  j.pieces.push_back(std::move(piece));
  for (jobs_state::watcher& w : j.watchers) {
    if (w.next + w.bunch <= j.pieces.size()) {
      send_pieces(self, j, w);
    }
  }
}

void stop_both(jobs_pointer self, job& j) {
  if (!std::exchange(j.twice->stopped, true)) {
    self->send(self->state.environment.scheduler, cancel_request{j.request.id});
    self->send(self->state.environment.scheduler, cancel_request{twin_of(j.request.id)});
  }
}

void take_twin_piece(jobs_pointer self, job& j, const text_piece& piece) {
  twin_runs& runs = j.twice->runs;
  const bool first = piece.request == j.request.id;
  runs.take(first ? twin_runs::run::first : twin_runs::run::second, piece.index,
            {piece.token, piece.text, piece.logprobs});
  std::uint32_t index = runs.told();
  for (twin_runs::piece& one : runs.certain()) {
    tell(self, j, index++, {one.token, std::move(one.text), std::move(one.logprobs)});
  }
  if (runs.differ()) {
    stop_both(self, j);
  }
}

/// The job of a request or of its second run.
std::map<request_id, job>::iterator job_of(jobs_state& state, request_id id) {
  const auto found = state.jobs.find(id);
  if (found != state.jobs.end()) {
    return found;
  }
  const auto twin = state.jobs.find(twin_of(id));
  return twin != state.jobs.end() && twin->second.twice ? twin : state.jobs.end();
}

void take_piece(jobs_pointer self, const text_piece& piece) {
  const auto found = job_of(self->state, piece.request);
  if (found == self->state.jobs.end() || piece.tail) {
    return;
  }
  job& j = found->second;
  if (j.twice) {
    return take_twin_piece(self, j, piece);
  }
  tell(self, j, piece.index, {piece.token, piece.text, piece.logprobs});
}

/// Of one that is computed twice, the first run's: both gave every token that is told.
void take_path(jobs_pointer self, path_taken& news) {
  const auto found = self->state.jobs.find(news.request);
  if (found == self->state.jobs.end()) {
    return;
  }
  std::vector<job_path>& paths = found->second.paths;
  // A lead that went on from an earlier token, and what it found before it drew one.
  std::erase_if(paths, [&](const job_path& p) { return p.from >= news.from; });
  if (paths.size() < limits::job_paths_max) {
    paths.push_back({news.from, std::move(news.path)});
  }
}

void hand_over_receipt(const jobs_state& state, const job& j, generation_report& report,
                       bool suspect = false) {
  if (report.receipt != nullptr && *report.receipt && state.environment.finished) {
    state.environment.finished(std::make_shared<const std::vector<std::byte>>(**report.receipt),
                               suspect);
  }
  if (!j.receipt_asked) {
    report.receipt = nullptr;
  }
}

/// The end of one of two runs. False until both have ended; then `done` is what came of the
/// request.
bool both_ended(jobs_pointer self, job& j, generation_done& done) {
  jobs_state::job::doubled& twice = *j.twice;
  (done.request == j.request.id ? twice.first : twice.second) = std::move(done.outcome);
  if (!twice.first || !twice.second) {
    if (!(twice.first ? *twice.first : *twice.second)) {
      stop_both(self, j); // what one computes alone is told to nobody
    }
    return false;
  }
  result<generation_report>& a = *twice.first;
  result<generation_report>& b = *twice.second;
  // The transcript holds every unit: tokens may be the same by chance.
  const bool differ =
      twice.runs.differ() ||
      (a && b && !twice.stopped &&
       (a->tokens != b->tokens || a->transcript != b->transcript || a->embedding != b->embedding));
  for (result<generation_report>* one : {&a, &b}) {
    if (*one && (differ || one == &b)) {
      hand_over_receipt(self->state, j, **one, differ);
    }
  }
  if (a && a->tokens.size() > j.pieces.size()) { // what only one has is not told at the end, either
    a->tokens.resize(j.pieces.size());
    a->text.clear();
    for (const jobs_state::piece& piece : j.pieces) {
      a->text += piece.text;
    }
  }
  done.request = j.request.id;
  if (differ) {
    done.outcome = error{errc::digest_mismatch,
                         "two runs over different nodes computed different results; what was told "
                         "before is what both computed"};
  } else if (a && !b && b.error().code != errc::cancelled) {
    done.outcome = std::move(b);
  } else {
    done.outcome = std::move(a);
  }
  return true;
}

void end_job(jobs_pointer self, job& j, generation_done& done) {
  jobs_state& state = self->state;
  if (done.outcome && done.outcome->tokens.size() < j.pieces.size()) {
    correct(self, j, static_cast<std::uint32_t>(done.outcome->tokens.size()));
  }
  auto outcome = std::make_shared<job_outcome>();
  outcome->request = j.request;
  outcome->time = state.environment.env->now() - j.started;
  outcome->report = std::move(done.outcome);
  if (outcome->report) {
    hand_over_receipt(state, j, *outcome->report);
    outcome->report->leaves = {};
    outcome->report->logits = {};
    state.environment.journal->say(log_level::info, done.request, "done: {} tokens, transcript {}",
                                   outcome->report->tokens.size(),
                                   to_hex(outcome->report->transcript));
  } else {
    state.environment.journal->say(log_level::warn, done.request, "failed: {}",
                                   outcome->report.error().message);
  }
  j.outcome = std::move(outcome);
  for (jobs_state::watcher& w : std::exchange(j.watchers, {})) {
    send_pieces(self, j, w);
  }
  j.request.drawn = {};
  state.finished.push_back(done.request);
  state.logprobs_kept += logprobs_of(j);
  forget_old(self);
}

void take_end(jobs_pointer self, generation_done& done) {
  jobs_state& state = self->state;
  const auto found = job_of(state, done.request);
  if (found == state.jobs.end() || found->second.outcome) {
    return;
  }
  job& j = found->second;
  if (j.twice && !both_ended(self, j, done)) {
    return;
  }
  if (!done.outcome && begin_again(self, j, done.outcome.error())) {
    return;
  }
  end_job(self, j, done);
}

result<void> cancel(jobs_pointer self, request_id id) {
  const auto found = self->state.jobs.find(id);
  if (found == self->state.jobs.end()) {
    return fail(errc::not_found, "this node does not drive request {:016x}", id.value);
  }
  job& j = found->second;
  if (std::exchange(j.paused, false)) { // nothing of it runs that could end
    generation_done done{id, fail(errc::cancelled, "request {:016x} was cancelled", id.value)};
    end_job(self, j, done);
    return {};
  }
  self->send(self->state.environment.scheduler, cancel_request{id});
  if (j.twice) {
    self->send(self->state.environment.scheduler, cancel_request{twin_of(id)});
  }
  return {};
}

generation_request request_from(request_log log) {
  generation_request request;
  static_cast<request_log&>(request) = std::move(log);
  ++request.generation;
  return request;
}

/// Of what a node asks to go on with nothing can be believed: it gets a share of the places, and
/// asks again for the rest.
result<void> check_adoption(const jobs_state& state, const adoption_asked& asked) {
  const auto under_way =
      std::count_if(state.jobs.begin(), state.jobs.end(), [&](const auto& entry) {
        return !entry.second.outcome && entry.second.asked_by == asked.from;
      });
  if (under_way >= limits::adoptions_per_node_max) {
    return fail(errc::busy, "{} requests that {} asked for are under way", under_way,
                short_name(asked.from));
  }
  const auto model = state.environment.models->find(asked.log.model);
  const std::size_t vocabulary = model ? model->weights.config.vocabulary : 0;
  for (const drawn_token& drawn : asked.log.drawn) {
    if (drawn.token >= vocabulary) {
      return fail(errc::invalid_argument, "token {} it drew is outside the vocabulary of {}",
                  drawn.token, vocabulary);
    }
  }
  if (asked.log.generation >= limits::generations_max) {
    return fail(errc::over_limit, "{} leads had it already", asked.log.generation);
  }
  return {};
}

void adopt(jobs_pointer self, adoption_asked& asked) {
  jobs_state& state = self->state;
  const request_id id = asked.log.id;
  const auto known = state.jobs.find(id);
  if (known == state.jobs.end()) {
    const std::size_t drawn = asked.log.drawn.size();
    auto started = check_adoption(state, asked);
    if (started) {
      started = start(self, request_from(std::move(asked.log)), {}, true);
    }
    if (!started) {
      state.environment.journal->say(log_level::warn, id, "cannot go on here: {}",
                                     started.error().message);
      return;
    }
    state.jobs.at(id).asked_by = asked.from;
    state.environment.journal->say(log_level::info, id, "goes on here, after {} tokens elsewhere",
                                   drawn);
  }
  state.environment.links->send_wire(asked.from, {id, {}, 0, wire_adopted{}});
}

void resume(jobs_pointer self) {
  jobs_state& state = self->state;
  for (request_log& log : state.environment.requests->unfinished()) {
    const request_id id = log.id;
    if (!state.jobs.contains(id) && !state.jobs.contains(twin_of(id))) { // one run of two goes on
      const auto started = start(self, request_from(std::move(log)), {}, true);
      if (!started) {
        state.environment.journal->say(log_level::warn, id, "cannot go on: {}",
                                       started.error().message);
      }
    }
  }
}

/// Fewer tokens say little of the speed.
constexpr std::size_t measured_tokens_min = 8;

double decode_speed(const job& j) {
  const generation_report& report = *j.outcome->report;
  const double time = std::chrono::duration<double>(report.decode_time).count();
  // Tokens known from an earlier time cost nothing; their units were reused like the prompt's.
  const auto reused = report.reused.memory + report.reused.disk + report.reused.peer;
  if (report.answer_reused || reused > 0) {
    return 0;
  }
  if (!j.alone || report.restarts > 0 || report.tokens.size() < measured_tokens_min || time <= 0) {
    return 0;
  }
  return static_cast<double>(report.tokens.size() - 1) / time;
}

std::vector<job_view> list(jobs_pointer self) {
  const jobs_state& state = self->state;
  const auto now = state.environment.env->now();
  std::vector<job_view> views;
  for (const auto& [id, j] : state.jobs) {
    job_view view;
    view.request = id;
    view.model = j.request.model;
    view.prompt = static_cast<std::uint32_t>(j.request.prompt.size());
    view.drawn = static_cast<std::uint32_t>(j.pieces.size());
    view.max_tokens = j.request.max_tokens;
    view.generation = j.request.generation;
    view.named = j.named;
    view.paths = j.paths;
    view.age_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - j.started).count());
    if (j.outcome) {
      view.state = j.outcome->report ? job_state::done : job_state::failed;
      if (j.outcome->report) {
        view.end = j.outcome->report->end;
        view.outcome = j.outcome;
        view.decode_tps = decode_speed(j);
      } else {
        view.failure = j.outcome->report.error();
      }
    }
    views.push_back(std::move(view));
  }
  std::stable_sort(views.begin(), views.end(),
                   [](const job_view& a, const job_view& b) { return a.age_ms > b.age_ms; });
  return views;
}

caf::result<kept_receipt> receipt_of(const jobs_state& state, request_id request) {
  const auto found = state.jobs.find(request);
  if (found == state.jobs.end()) {
    return to_caf(fail(errc::not_found, "this node does not drive request {:016x}", request.value));
  }
  const auto& outcome = found->second.outcome;
  if (!outcome || !outcome->report || outcome->report->receipt == nullptr ||
      !*outcome->report->receipt) {
    return to_caf(fail(errc::not_found, "request {:016x} {}", request.value,
                       outcome ? "has no receipt" : "is not over"));
  }
  return kept_receipt{outcome->report->receipt};
}

caf::result<bool> answer(const result<void>& outcome) {
  return outcome ? caf::result<bool>{true} : caf::result<bool>{to_caf(outcome.error())};
}

} // namespace

caf::behavior jobs_behavior(jobs_pointer self, jobs_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  return {
      [self](submit_job& command) {
        return answer(start(self, std::move(command.request), command.named, false));
      },
      [self](const watch_job& command) { return answer(watch(self, command)); },
      [self](const unwatch_job& command) { unwatch(self, command); },
      [self](const cancel_job& command) { return answer(cancel(self, command.request)); },
      [self](const begin_job_again& command) { go_on_after(self, command); },
      [self](const list_jobs&) { return list(self); },
      [self](const read_receipt& e) { return receipt_of(self->state, e.request); },
      [self](const drain_jobs&) { self->state.draining = true; },
      [self](const text_piece& piece) { take_piece(self, piece); },
      [self](path_taken& news) { take_path(self, news); },
      [self](generation_done& done) { take_end(self, done); },
      [self](adoption_asked& asked) { adopt(self, asked); },
      [self](const resume_jobs&) { resume(self); },
  };
}

} // namespace ovir::actors
