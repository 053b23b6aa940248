#include "actors/stage/shard_core.hpp"

#include "messages/check.hpp"
#include "messages/limits/gather.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <set>

namespace ovir::actors {

namespace {

bool is_input(const compute::segment& segment, frame_kind kind) {
  return !is_answer(kind) && holds_tokens(kind) == segment.is_first();
}

/// Rows that a piece of work adds to a pass; replays and the like compute nothing.
std::uint32_t rows_of(const session_work& work) {
  const auto* const step = std::get_if<step_work>(&work);
  return step == nullptr ? 0 : step->header.count;
}

/// Passes that may come before it; repairs are due at once.
std::uint64_t slack_of(const session_work& work) {
  const auto* const step = std::get_if<step_work>(&work);
  return step == nullptr ? 0 : step->header.slack;
}

/// A token is drawn behind it, and what follows is a step of few rows.
bool ends_prompt(const session_work& work) {
  const auto* const step = std::get_if<step_work>(&work);
  return step != nullptr && step->header.logit_rows > 0;
}

/// A step of a request that decodes, with or without drafts.
bool is_narrow(const session_work& work) {
  const auto* const step = std::get_if<step_work>(&work);
  return rows_of(work) <= limits::pass_narrow_rows || holds_drafts(step->header.kind);
}

} // namespace

shard_core::shard_core(std::shared_ptr<stage_bench> bench) : bench_(std::move(bench)) {}

shard_core::session* shard_core::find(request_id request) {
  const auto found = sessions_.find(request);
  return found == sessions_.end() ? nullptr : &found->second;
}

result<std::shared_ptr<session_data>> shard_core::fresh_data(std::uint32_t positions,
                                                             const session_model& model) const {
  const compute::segment& segment = *bench_->segment;
  auto data = std::make_shared<session_data>();
  OVIR_ASSIGN(data->state, segment.open(positions, bench_->kv_bytes_max));
  if (model.lora) {
    data->state.lora = model.lora;
  }
  if (!segment.is_last()) {
    OVIR_ASSIGN(data->boundaries,
                boundary_log::make(positions, segment.config().dim, bench_->kv_bytes_max));
  }
  const layer_index first = segment.layers().first;
  data->input = first == 0 ? row_digests::of_tokens() : row_digests::of_boundary(first - 1);
  data->earlier.resize(segment.layers().size());
  return data;
}

position shard_core::holds_soon(const session& s) noexcept {
  return s.busy && !s.stale ? std::max(s.length, s.under_way_to) : s.length;
}

result<void> shard_core::open(request_id request, epoch driver, std::uint32_t positions,
                              position keep, position reuse, session_model model) {
  if (session* known = find(request)) {
    if (driver < known->driver) {
      return fail(errc::superseded, "a driver of epoch {} is behind epoch {}", driver.value,
                  known->driver.value);
    }
    if (known->model.id != model.id) {
      return fail(errc::invalid_argument, "request {} is computed with another adapter here",
                  request.value);
    }
    // Work of an earlier epoch is void: the new driver asks for what is still missing.
    known->driver = driver;
    known->queue.clear();
    if (!known->busy) { // what had come from the cache and was not taken in is void as well
      known->reused_to = std::min(known->reused_to, known->length);
    }
    known->finish_owed = false;
    std::erase(turns_, request);
    const bool took_too_much = known->reused_to > reuse;
    if ((holds_soon(*known) > keep && !OVIR_MUTANT("stage_keeps_too_much")) ||
        known->positions != positions || took_too_much) {
      OVIR_ASSIGN(known->data, fresh_data(positions, known->model));
      known->positions = positions;
      known->length = 0;
      known->reused_to = 0;
      known->reused = {};
      known->stale = known->busy;
      known->signs = false;
    }
    return {};
  }
  if (sessions_.size() >= limits::sessions_max) {
    return fail(errc::busy, "a stage holds {} requests already; try again later", sessions_.size());
  }
  session fresh;
  fresh.request = request;
  fresh.driver = driver;
  fresh.positions = positions;
  OVIR_ASSIGN(fresh.data, fresh_data(positions, model));
  fresh.model = std::move(model);
  sessions_.emplace(request, std::move(fresh));
  return {};
}

result<void> shard_core::accept(const frame_bytes& frame) {
  OVIR_ASSIGN(const frame_view view, decode_frame(*frame));
  const frame_header& h = view.header;
  session* s = find(h.request);
  if (s == nullptr || (h.epoch != s->driver && !OVIR_MUTANT("stage_takes_old_frames"))) {
    return {};
  }
  const std::uint32_t width = bench_->segment->is_first() ? 1 : bench_->segment->config().dim;
  if (!is_input(*bench_->segment, h.kind) || h.width != width) {
    return fail(errc::malformed, "a frame of kind {} and width {} came to a stage of width {}",
                static_cast<unsigned>(h.kind), h.width, width);
  }
  return enqueue(*s, step_work{frame, h});
}

result<void> shard_core::replay(const to_stage<replay_boundaries>& order) {
  session* s = find(order.request);
  if (s == nullptr || order.driver != s->driver) {
    return {};
  }
  return enqueue(*s, replay_work{order.first, order.count, order.logit_rows});
}

result<void> shard_core::resend(const to_stage<resend_logits>& order) {
  session* s = find(order.request);
  if (s == nullptr || order.driver != s->driver) {
    return {};
  }
  return enqueue(*s, resend_work{order.at});
}

result<void> shard_core::restore(request_id request, epoch driver, units_found units) {
  session* s = find(request);
  if (s == nullptr || driver != s->driver) {
    return {};
  }
  return enqueue(*s, restore_work{std::move(units)});
}

void shard_core::finish(const to_stage<finish_session>& order) {
  session* s = find(order.request);
  if (s != nullptr && order.driver == s->driver) {
    s->finish_owed = true;
    s->finish_at = order.at;
    s->decodes = s->decodes && s->length < s->finish_at;
  }
}

bool shard_core::finishes_now(const session& s) noexcept {
  return s.finish_owed && !s.busy && s.queue.empty() &&
         (s.length >= s.finish_at || OVIR_MUTANT("stage_finishes_early"));
}

void shard_core::close(request_id request) {
  sessions_.erase(request);
  std::erase(turns_, request);
}

result<void> shard_core::enqueue(session& s, session_work work) {
  // Twice the lead's credit: frames and replay orders of one epoch never exceed it.
  if (s.queue.size() >= 2 * limits::frames_in_flight_max) {
    return fail(errc::over_limit, "more than {} frames wait at one stage",
                2 * limits::frames_in_flight_max);
  }
  if (rows_of(work) > 0) {
    s.decodes = is_narrow(work);
    s.late = false;
    s.burst = bursts_;
  }
  s.queue.push_back(std::move(work));
  if (!s.busy && s.queue.size() == 1) {
    wait_for_turn(s);
  }
  return {};
}

void shard_core::wait_for_turn(session& s) {
  s.due = passes_ + slack_of(s.queue.front());
  const auto behind = std::find_if(turns_.begin(), turns_.end(),
                                   [&](request_id request) { return find(request)->due > s.due; });
  turns_.insert(behind, s.request);
}

// Those who decode and were not late.
std::size_t shard_core::decoders_present() const {
  return static_cast<std::size_t>(
      std::count_if(sessions_.begin(), sessions_.end(),
                    [](const auto& s) { return s.second.decodes && !s.second.late; }));
}

// The share of them that this segment has of the layers, rounded, because that share of the time
// they are here.
std::size_t shard_core::decoders_wanted() const {
  const compute::segment& segment = *bench_->segment;
  const std::size_t all = segment.config().layers;
  return std::max<std::size_t>((2 * decoders_present() * segment.layers().size() + all) / (2 * all),
                               1);
}

std::size_t shard_core::decoders_ready() {
  return static_cast<std::size_t>(
      std::count_if(turns_.begin(), turns_.end(), [this](request_id request) {
        const session_work& work = find(request)->queue.front();
        return rows_of(work) > 0 && is_narrow(work);
      }));
}

// Those who decode and were not late ran in more passes, each its latest, than hold them all.
bool shard_core::scattered() const {
  std::set<std::uint64_t> passes;
  std::size_t present = 0;
  for (const auto& [request, s] : sessions_) {
    if (s.decodes && !s.late) {
      passes.insert(s.pass);
      ++present;
    }
  }
  const std::size_t wanted = decoders_wanted();
  return passes.size() > (present + wanted - 1) / wanted;
}

// Where requests take different times to come back, no wait keeps them together.
void shard_core::gathered_in_vain() {
  if (regrouping_) {
    brief_next_ = std::min(2 * brief_next_, limits::regroup_backoff_max);
    brief_left_ = brief_next_;
  } else if (brief_left_ > 0) {
    --brief_left_;
  }
  regrouping_ = false;
  forget_absent();
}

void shard_core::begin_burst() {
  const bool apart = std::any_of(sessions_.begin(), sessions_.end(), [this](const auto& s) {
    return s.second.decodes && !s.second.late && s.second.burst != bursts_;
  });
  ++bursts_;
  if (!bench_->segment->is_first()) {
    return;
  }
  if (!apart && !scattered()) {
    muster_next_ = std::max(muster_next_ / 2, 1U);
  } else if (muster_left_ > 0) {
    --muster_left_;
  } else {
    mustering_ = true;
    muster_left_ = muster_next_;
    muster_next_ = std::min(2 * muster_next_, limits::muster_backoff_max);
  }
}

// Whether the pass, which those who decode would lead, had better wait for more of them. Without
// patience it has waited.
bool shard_core::awaits_others(bool patient) {
  const std::size_t ready = decoders_ready();
  if (ready != turns_.size() || ready >= (mustering_ ? decoders_present() : decoders_wanted())) {
    return false;
  }
  if (mustering_) {
    return patient;
  }
  const bool apart = scattered();
  if (!apart) {
    brief_next_ = 1;
    brief_left_ = 0;
  }
  if (patient) {
    regrouping_ = apart && brief_left_ == 0;
  } else {
    gathered_in_vain();
  }
  return patient;
}

// Until they are back, nobody waits for them.
void shard_core::forget_absent() {
  for (auto& [request, s] : sessions_) {
    s.late = s.queue.empty();
  }
}

shard_job shard_core::begin_job(session& s) {
  OVIR_CHECK(!s.busy && !s.queue.empty());
  shard_job job{s.request, s.driver, s.data, std::move(s.queue.front()), s.signs, s.answers};
  s.queue.pop_front();
  s.busy = true;
  const auto* const step = std::get_if<step_work>(&job.work);
  s.under_way_to =
      step != nullptr ? step->header.first + step->header.count - step->header.drafts() : 0;
  s.prompt_ends = s.answers != stage_answers::hidden && ends_prompt(job.work);
  s.pass = passes_;
  ++under_way_;
  return job;
}

std::vector<shard_job> shard_core::next_pass(bool patient) {
  std::vector<shard_job> pass;
  gathering_ = false;
  if (under_way_ > 0 || turns_.empty()) {
    return pass;
  }
  const bool few = is_narrow(find(turns_.front())->queue.front());
  std::size_t decoders_max = limits::pass_sessions_max;
  if (few) {
    if (awaits_others(patient)) {
      gathering_ = true;
      return pass;
    }
    decoders_max = decoders_wanted();
  }
  mustering_ = false;
  ++passes_;
  const std::uint32_t rows_max = bench_->segment->layers().size() < bench_->segment->config().layers
                                     ? limits::pass_rows_of_cut_max
                                     : limits::pass_rows_max;
  std::uint32_t rows = 0;
  std::size_t decoders = 0;
  std::deque<request_id> left;
  for (const request_id request : turns_) {
    session* const s = find(request);
    OVIR_CHECK(s != nullptr);
    const std::uint32_t more = rows_of(s->queue.front());
    const bool narrow = is_narrow(s->queue.front());
    const bool room = narrow ? decoders < decoders_max && rows + more <= limits::prefill_chunk_max
                             : !few && rows + more <= rows_max;
    if (!pass.empty() && (!room || pass.size() == limits::pass_sessions_max)) {
      left.push_back(request);
      continue;
    }
    rows += more;
    decoders += narrow && more > 0 ? 1 : 0;
    pass.push_back(begin_job(*s));
  }
  turns_ = std::move(left);
  return pass;
}

shard_core::session* shard_core::job_ended(request_id request, position length) {
  OVIR_CHECK(under_way_ > 0);
  --under_way_;
  session* s = find(request);
  // Closed, or closed and opened again: the job was not for this one.
  if (s == nullptr || !s->busy) {
    return nullptr;
  }
  s->busy = false;
  if (!s->stale) {
    s->length = length;
  }
  s->stale = false;
  // Whoever shares this pass may come back together, and is then waited for.
  s->decodes =
      s->finish_owed ? s->decodes && s->length < s->finish_at : s->decodes || s->prompt_ends;
  if (!s->queue.empty()) {
    wait_for_turn(*s);
  }
  return s;
}

void shard_core::drop_drafts(session& s) {
  OVIR_CHECK(!s.busy);
  s.data->state.drop_drafts();
  if (s.data->boundaries.length() > s.length) { // kept by all stages but the last
    s.data->boundaries.truncate(s.length);
  }
}

session_finished shard_core::describe(const session& s) const {
  OVIR_CHECK(!s.busy);
  const std::uint32_t layers = bench_->segment->layers().size();
  session_finished out;
  out.length = s.length;
  out.units = s.length % limits::window_positions == 0 ? 0 : layers;
  out.kv_bytes = s.data->state.kv.bytes() / s.data->state.kv.capacity() * s.length;
  out.leaves = s.data->state.units.open_leaves();
  return out;
}

std::uint64_t units_closed(position first, std::uint32_t count, std::uint32_t layers) noexcept {
  constexpr std::uint32_t window = limits::window_positions;
  return std::uint64_t{(first + count) / window - first / window} * layers;
}

} // namespace ovir::actors
