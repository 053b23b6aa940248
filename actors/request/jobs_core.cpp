#include "actors/request/jobs_core.hpp"

#include "actors/request/request_check.hpp"
#include "messages/limits/console.hpp"
#include "messages/limits/logprobs.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

constexpr std::uint32_t recomputations_max = 5; ///< of one request
constexpr std::chrono::milliseconds begin_again_after{200};
/// Where two runs differ, the verifiers get the time to find out who lied, so that he is not asked
/// again: each time twice as long as before, 62 s in all.
constexpr std::chrono::milliseconds audits_first{2'000};

digest terms_with(request_terms terms, bool receipt) {
  terms.receipt = receipt;
  return digest_of(terms);
}

/// A token is told when the slower one has it.
void take_slower(generation_report& one, const generation_report& other) {
  const auto last = std::max(one.time_to_first_token + one.decode_time,
                             other.time_to_first_token + other.decode_time);
  one.time_to_first_token = std::max(one.time_to_first_token, other.time_to_first_token);
  one.decode_time = last - one.time_to_first_token;
}

/// By itself, and not because its twin did or its client wanted it.
bool failed(const result<generation_report>& run) {
  return !run && run.error().code != errc::cancelled;
}

constexpr std::size_t measured_tokens_min = 8; ///< fewer say little of the speed

double decode_speed(const generation_report& report, bool alone) {
  const double time = std::chrono::duration<double>(report.decode_time).count();
  // Tokens known from an earlier time cost nothing; their units were reused like the prompt's.
  const auto reused = report.reused.memory + report.reused.disk + report.reused.peer;
  if (report.answer_reused || reused > 0) {
    return 0;
  }
  if (!alone || report.restarts > 0 || report.tokens.size() < measured_tokens_min || time <= 0) {
    return 0;
  }
  return static_cast<double>(report.tokens.size() - 1) / time;
}

result<void> check_terms(request_id id, const digest& terms, const digest& known,
                         const std::optional<digest>& known_unsigned) {
  if (terms == known || terms == known_unsigned) {
    return {};
  }
  return fail(errc::invalid_argument,
              "request {:016x} is known here and is another one; choose another id", id.value);
}

std::uint64_t logprobs_of(const generation_request& request, std::size_t tokens) {
  return request.logprobs ? tokens * (std::uint64_t{*request.logprobs} + 1) : 0;
}

} // namespace

/// The one that ended last is kept whatever it takes: the client that waits for it is about to read
/// it.
void jobs_core::forget_old() {
  while (finished_.size() > limits::jobs_kept_max ||
         (finished_.size() > 1 && logprobs_kept_ > limits::logprobs_kept_max)) {
    const auto oldest = jobs_.find(finished_.front());
    logprobs_kept_ -= logprobs_of(oldest->second.request, oldest->second.pieces.size());
    jobs_.erase(oldest);
    finished_.pop_front();
  }
}

void jobs_core::submit(const job& j, effects& out) {
  std::vector<generation_request> runs{j.request};
  if (j.twice) {
    runs.push_back(j.request);
    runs.back().id = twin_of(j.request.id);
    runs.back().kill_shards = 0;
    runs.back().paid_by_node(); // looking twice is this node's wish
  }
  for (generation_request& run : runs) {
    run.receipt_later = !j.receipt_asked && !j.twice;
    if (j.twice) {
      run.cache = {}; // what one computed is not looked at twice where the other takes it
      run.reveal = reveal_when::after; // also for whoever goes on with it
      run.second = run.id != j.request.id;
      const bool first_try = j.recomputed == 0 && !j.from_log;
      run.twin = first_try && j.request.reveal == reveal_when::after ? twin_rule::refused
                                                                     : twin_rule::waits;
    }
    if (run.trace) {
      run.taken = j.started;
    }
    out.push_back(run_effect{std::move(run)});
  }
}

result<void> jobs_core::check_reveal(const job& j, reveal_when wanted) {
  if (wanted == reveal_when::after && !j.twice) {
    return fail(errc::invalid_argument,
                "request {:016x} is known here and is told at once; choose another id for one "
                "with reveal after",
                j.request.id.value);
  }
  return {};
}

bool jobs_core::may_pass(const job& j) {
  if (!j.outcome || j.request.generation + 1 >= limits::generations_max) {
    return false;
  }
  if (j.outcome->report) {
    return j.left && j.outcome->report->end == finish_reason::cancelled;
  }
  const reaction what = reaction_to(j.outcome->report.error().code);
  return j.outcome->unpaid() || (what != reaction::refuse && what != reaction::dispute);
}

result<void> jobs_core::start(generation_request request, request_id named, bool from_log,
                              const compute::model_config* model, time_point now, effects& out) {
  const digest terms = digest_of(request);
  request.reveal = stricter(request.reveal, settings_.reveal);
  if (const auto known = jobs_.find(request.id); known != jobs_.end()) {
    OVIR_TRY(check_terms(request.id, terms, known->second.terms, known->second.terms_unsigned));
    if (known->second.left && !known->second.outcome) { // what was told of it is no answer
      return fail(errc::busy, "request {:016x} was given up a moment ago; ask again",
                  request.id.value);
    }
    if (!may_pass(known->second)) {
      OVIR_TRY(check_reveal(known->second, request.reveal));
      known->second.named = named.value != 0 ? named : known->second.named;
      return {};
    }
  }
  if (draining_) {
    return fail(errc::busy, "this node drains and takes no new request; ask another scheduler");
  }
  if (model == nullptr) {
    return fail(errc::not_found, "this node does not know model {}",
                to_hex(request.model).substr(0, 8));
  }
  OVIR_TRY(check(*model, request));
  bool alone = true;
  for (auto& [id, other] : jobs_) {
    if (!other.outcome) {
      alone = other.alone = false;
    }
  }
  const auto failed = jobs_.find(request.id);
  const bool anew = failed != jobs_.end();
  if (anew) {
    request.generation = std::max(request.generation, failed->second.request.generation + 1);
    logprobs_kept_ -= logprobs_of(failed->second.request, failed->second.pieces.size());
    std::erase(finished_, request.id);
    jobs_.erase(failed);
  }
  job& fresh = jobs_[request.id];
  fresh.receipt_asked = request.receipt;
  fresh.named = named;
  fresh.terms = terms;
  if (from_log && request.receipt) {
    fresh.terms_unsigned = terms_with(request, false);
  }
  fresh.from_log = from_log;
  const bool after = request.reveal == reveal_when::after;
  if (after) {
    request.drawn = {};
  }
  const bool whole = request.drawn.empty() && (after || anew || request.generation == 0);
  const std::uint32_t least = settings_.twice_tokens;
  if (after || (whole && least > 0 && request.prompt.size() + request.max_tokens >= least)) {
    fresh.twice = job::doubled{};
  }
  request.receipt = request.receipt || (whole && (settings_.signs_all || fresh.twice.has_value()));
  fresh.request = request;
  fresh.alone = alone;
  fresh.started = now;
  fresh.deadline = fresh.started + request.deadline;
  out.push_back(note_effect{
      log_level::info, request.id,
      fmt::format("accepted: {} prompt tokens, {} more at most, generation {}{}",
                  request.prompt.size(), request.max_tokens, request.generation,
                  named.value == 0 ? std::string{}
                                   : fmt::format(", called {:016x} by its client", named.value))});
  submit(fresh, out);
  return {};
}

void jobs_core::send_pieces(const job& j, watcher& w, effects& out) {
  for (; w.next < j.pieces.size(); ++w.next) {
    const piece& one = j.pieces[w.next];
    out.push_back(token_effect{w.who, w.tag, {w.next, one.token, one.text, one.logprobs}});
  }
  if (j.outcome) {
    out.push_back(over_effect{w.who, w.tag, j.outcome});
  }
}

result<void> jobs_core::begin_watch(const watch& command, effects& out) {
  const auto found = jobs_.find(command.request);
  if (found == jobs_.end()) {
    return fail(errc::not_found, "this node does not drive request {:016x}", command.request.value);
  }
  job& j = found->second;
  if (command.or_anew && may_pass(j)) {
    return fail(errc::not_found, "request {:016x} failed here: {}", command.request.value,
                j.outcome->report ? "its client went" : j.outcome->report.error().message);
  }
  if (command.terms) {
    OVIR_TRY(check_terms(j.request.id, *command.terms, j.terms, j.terms_unsigned));
  }
  OVIR_TRY(check_reveal(j, command.reveal));
  j.named = command.named.value != 0 ? command.named : j.named;
  if (command.from > j.pieces.size() && j.outcome) {
    return fail(errc::invalid_argument, "request {:016x} has {} tokens, and {} was asked for",
                command.request.value, j.pieces.size(), command.from);
  }
  watcher w{command.watcher, command.tag, command.from, command.bunch};
  send_pieces(j, w, out);
  if (!j.outcome) {
    j.watchers.push_back(std::move(w));
  }
  return {};
}

void jobs_core::end_watch(std::uint64_t who, std::uint64_t tag) {
  for (auto& [id, j] : jobs_) {
    std::erase_if(j.watchers,
                  [&](const watcher& w) { return w.who == who && (tag == 0 || w.tag == tag); });
  }
}

bool jobs_core::is_watched_by(std::uint64_t who) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
    const auto& all = entry.second.watchers;
    return std::any_of(all.begin(), all.end(), [&](const watcher& w) { return w.who == who; });
  });
}

/// What was told from `index` on came from a node that was convicted since. Who heard it is told
/// so, and may ask again from there.
void jobs_core::correct(job& j, std::uint32_t index, effects& out) {
  auto wrong = std::make_shared<job_outcome>();
  wrong->request = j.request;
  wrong->report = error{errc::digest_mismatch,
                        fmt::format("the tokens from index {} on were computed wrongly by a node "
                                    "that was convicted since; ask for this request again from "
                                    "there",
                                    index)};
  j.pieces.resize(index);
  const auto heard = [&](const watcher& w) { return w.next > index; };
  for (const watcher& w : j.watchers) {
    if (heard(w)) {
      out.push_back(over_effect{w.who, w.tag, wrong});
    }
  }
  std::erase_if(j.watchers, heard);
}

/// A request in which something was computed wrongly begins again, without what was drawn.
bool jobs_core::begin_again(job& j, const error& reason, time_point now, effects& out) {
  // Its lead is about to end, and must have ended for another to start.
  const auto pause = j.twice ? audits_first * (1U << j.recomputed) : begin_again_after;
  if (reason.code != errc::digest_mismatch || j.recomputed >= recomputations_max || j.cancelled ||
      now + pause >= j.deadline) {
    return false;
  }
  ++j.recomputed;
  ++j.request.generation;
  j.request.drawn = {};
  j.request.paid_by_node(); // what was signed pays once; the rest is the cluster's fault
  out.push_back(
      note_effect{log_level::warn, j.request.id, fmt::format("begins again: {}", reason.message)});
  if (j.twice) {
    j.twice = job::doubled{};
  }
  j.paused = true;
  out.push_back(pause_effect{j.request.id, j.recomputed, pause});
  return true;
}

void jobs_core::go_on(request_id id, std::uint32_t attempt, time_point now, effects& out) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end() || !found->second.paused || found->second.recomputed != attempt) {
    return; // cancelled meanwhile
  }
  job& j = found->second;
  j.paused = false;
  j.request.deadline = std::chrono::ceil<std::chrono::milliseconds>(std::max(j.deadline - now, {}));
  submit(j, out);
}

void jobs_core::tell(job& j, std::uint32_t index, piece told, effects& out) {
  if (index < j.pieces.size() && j.pieces[index].token != told.token) {
    correct(j, index, out);
  }
  if (index != j.pieces.size()) {
    return; // told again by a lead that went on
  }
  j.pieces.push_back(std::move(told));
  for (watcher& w : j.watchers) {
    if (w.next + w.bunch <= j.pieces.size()) {
      send_pieces(j, w, out);
    }
  }
}

void jobs_core::stop_both(job& j, effects& out) {
  if (!std::exchange(j.twice->stopped, true)) {
    out.push_back(cancel_effect{j.request.id});
    out.push_back(cancel_effect{twin_of(j.request.id)});
  }
}

void jobs_core::take_twin_piece(job& j, const text_piece& piece, effects& out) {
  twin_runs& runs = j.twice->runs;
  const bool first = piece.request == j.request.id;
  runs.take(first ? twin_runs::run::first : twin_runs::run::second, piece.index,
            {piece.token, piece.text, piece.logprobs});
  std::uint32_t index = runs.told();
  for (twin_runs::piece& one : runs.certain()) {
    tell(j, index++, {one.token, std::move(one.text), std::move(one.logprobs)}, out);
  }
  if (runs.differ()) {
    stop_both(j, out);
  }
}

/// The job of a request or of its second run; null where there is none.
jobs_core::job* jobs_core::job_of(request_id id) {
  const auto found = jobs_.find(id);
  if (found != jobs_.end()) {
    return &found->second;
  }
  const auto twin = jobs_.find(twin_of(id));
  return twin != jobs_.end() && twin->second.twice ? &twin->second : nullptr;
}

void jobs_core::take_piece(const text_piece& piece, effects& out) {
  job* const j = job_of(piece.request);
  if (j == nullptr || piece.tail) {
    return;
  }
  if (j->twice) {
    return take_twin_piece(*j, piece, out);
  }
  tell(*j, piece.index, {piece.token, piece.text, piece.logprobs}, out);
}

/// Of one that is computed twice, the first run's: both gave every token that is told.
void jobs_core::take_path(request_id id, std::uint32_t from, layer_places path) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    return;
  }
  std::vector<job_path>& paths = found->second.paths;
  // A lead that went on from an earlier token, and what it found before it drew one.
  std::erase_if(paths, [&](const job_path& p) { return p.from >= from; });
  if (paths.size() < limits::job_paths_max) {
    paths.push_back({from, std::move(path)});
  }
}

void jobs_core::take_pace(request_id id, request_pace pace) {
  if (const auto found = jobs_.find(id); found != jobs_.end()) {
    found->second.pace = std::make_shared<const request_pace>(std::move(pace));
  }
}

void jobs_core::hand_over_receipt(const job& j, generation_report& report, bool suspect,
                                  effects& out) {
  if (report.receipt != nullptr && *report.receipt) {
    out.push_back(receipt_effect{j.request.id,
                                 std::make_shared<const std::vector<std::byte>>(**report.receipt),
                                 suspect, report.answer_reused});
  }
  if (!j.receipt_asked) {
    report.receipt = nullptr;
  }
}

/// What only one of two runs has is not told at the end, either, nor in a receipt.
void jobs_core::drop_what_one_has(const job& j, generation_report& report, effects& out) {
  if (report.tokens.size() <= j.pieces.size()) {
    return;
  }
  hand_over_receipt(j, report, false, out);
  report.receipt = nullptr;
  report.end = finish_reason::cancelled;
  report.tokens.resize(j.pieces.size());
  report.text.clear();
  for (const piece& one : j.pieces) {
    report.text += one.text;
  }
}

/// The end of one of two runs. False until both have ended; then `done` is what came of the
/// request.
bool jobs_core::both_ended(job& j, generation_done& done, effects& out) {
  job::doubled& twice = *j.twice;
  (done.request == j.request.id ? twice.first : twice.second) = std::move(done.outcome);
  if (!twice.first || !twice.second) {
    if (!(twice.first ? *twice.first : *twice.second)) {
      stop_both(j, out); // what one computes alone is not told
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
      hand_over_receipt(j, **one, differ, out);
    }
  }
  done.request = j.request.id;
  if (differ) {
    done.outcome = error{errc::digest_mismatch,
                         "two runs over different nodes computed different results; what was told "
                         "before is what both computed"};
    return true;
  }
  if (a && b) {
    take_slower(*a, *b);
  }
  const bool both = a && b && a->embedding == b->embedding;
  done.outcome = failed(a) || !failed(b) ? std::move(a) : std::move(b);
  if (done.outcome && !both && !done.outcome->embedding.empty()) {
    done.outcome = fail(errc::cancelled, "request {:016x} was cancelled", j.request.id.value);
  } else if (done.outcome) {
    drop_what_one_has(j, *done.outcome, out);
  }
  return true;
}

void jobs_core::end_job(job& j, generation_done& done, time_point now, effects& out) {
  if (done.outcome && done.outcome->tokens.size() < j.pieces.size()) {
    correct(j, static_cast<std::uint32_t>(done.outcome->tokens.size()), out);
  }
  auto outcome = std::make_shared<job_outcome>();
  outcome->request = j.request;
  outcome->time = now - j.started;
  outcome->report = std::move(done.outcome);
  if (outcome->report) {
    hand_over_receipt(j, *outcome->report, false, out);
    outcome->report->leaves = {};
    outcome->report->logits = {};
    out.push_back(
        note_effect{log_level::info, done.request,
                    fmt::format("done: {} tokens, transcript {}", outcome->report->tokens.size(),
                                to_hex(outcome->report->transcript))});
  } else {
    out.push_back(note_effect{log_level::warn, done.request,
                              fmt::format("failed: {}", outcome->report.error().message)});
  }
  j.outcome = std::move(outcome);
  if (OVIR_MUTANT("jobs_tell_no_end")) {
    j.watchers.clear();
  }
  for (watcher& w : std::exchange(j.watchers, {})) {
    send_pieces(j, w, out);
  }
  j.request.drawn = {};
  finished_.push_back(done.request);
  logprobs_kept_ += logprobs_of(j.request, j.pieces.size());
  forget_old();
}

void jobs_core::take_end(generation_done& done, time_point now, effects& out) {
  job* const j = job_of(done.request);
  if (j == nullptr || j->outcome || (j->twice && !both_ended(*j, done, out))) {
    return;
  }
  if (done.outcome || !begin_again(*j, done.outcome.error(), now, out)) {
    end_job(*j, done, now, out);
  }
}

result<void> jobs_core::cancel(request_id id, bool asked, const error& why, time_point now,
                               effects& out) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    return fail(errc::not_found, "this node does not drive request {:016x}", id.value);
  }
  job& j = found->second;
  if (OVIR_MUTANT("jobs_lose_cancels")) {
    return {};
  }
  j.left = !asked;
  if (std::exchange(j.paused, false)) {
    generation_done done{id, why};
    end_job(j, done, now, out);
    return {};
  }
  j.cancelled = true;
  if (j.twice) {
    stop_both(j, out);
  } else {
    out.push_back(cancel_effect{id});
  }
  return {};
}

job_phase jobs_core::phase_of(request_id id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end()
             ? job_phase{}
             : job_phase{!found->second.outcome, found->second.paused, found->second.outcome};
}

bool jobs_core::may_go_on(request_id id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() || may_pass(found->second);
}

result<void> jobs_core::check_adoption(const node_id& from, const request_log& log,
                                       std::size_t vocabulary) const {
  const auto under_way = std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
    return !entry.second.outcome && entry.second.asked_by == from;
  });
  if (under_way >= limits::adoptions_per_node_max) {
    return fail(errc::busy, "{} requests that {} asked for are under way", under_way,
                short_name(from));
  }
  for (const drawn_token& drawn : log.drawn) {
    if (drawn.token >= vocabulary) {
      return fail(errc::invalid_argument, "token {} it drew is outside the vocabulary of {}",
                  drawn.token, vocabulary);
    }
  }
  if (log.second) {
    return fail(errc::invalid_argument,
                "it is the second of two runs, which begins with the first");
  }
  if (log.generation >= limits::generations_max) {
    return fail(errc::over_limit, "{} leads had it already", log.generation);
  }
  return {};
}

std::vector<job_view> jobs_core::list(time_point now) const {
  std::vector<job_view> views;
  for (const auto& [id, j] : jobs_) {
    job_view view;
    view.request = id;
    view.model = j.request.model;
    view.prompt = static_cast<std::uint32_t>(j.request.prompt.size());
    view.drawn = static_cast<std::uint32_t>(j.pieces.size());
    view.max_tokens = j.request.max_tokens;
    view.generation = j.request.generation;
    view.named = j.named;
    view.paths = j.paths;
    view.pace = j.pace;
    view.age_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - j.started).count());
    if (j.outcome) {
      view.state = j.outcome->report ? job_state::done : job_state::failed;
      if (j.outcome->report) {
        view.end = j.outcome->report->end;
        view.outcome = j.outcome;
        view.decode_tps = decode_speed(*j.outcome->report, j.alone);
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

result<std::shared_ptr<const result<std::vector<std::byte>>>>
jobs_core::receipt_of(request_id id) const {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) {
    return fail(errc::not_found, "this node does not drive request {:016x}", id.value);
  }
  const auto& outcome = found->second.outcome;
  if (!outcome || !outcome->report || outcome->report->receipt == nullptr ||
      !*outcome->report->receipt) {
    return fail(errc::not_found, "request {:016x} {}", id.value,
                outcome ? "has no receipt" : "is not over");
  }
  return outcome->report->receipt;
}

} // namespace ovir::actors
