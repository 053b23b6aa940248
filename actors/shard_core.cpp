#include "actors/shard_core.hpp"

#include "messages/check.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

frame_kind input_kind(const compute::segment& segment) {
  return segment.is_first() ? frame_kind::tokens : frame_kind::boundary;
}

} // namespace

shard_core::shard_core(std::shared_ptr<stage_bench> bench) : bench_(std::move(bench)) {}

shard_core::session* shard_core::find(request_id request) {
  const auto found = sessions_.find(request);
  return found == sessions_.end() ? nullptr : &found->second;
}

result<std::shared_ptr<session_data>> shard_core::fresh_data(std::uint32_t positions) const {
  const compute::segment& segment = *bench_->segment;
  auto data = std::make_shared<session_data>();
  OVIR_ASSIGN(data->state, segment.open(positions, bench_->kv_bytes_max));
  if (!segment.is_last()) {
    OVIR_ASSIGN(data->boundaries,
                boundary_log::make(positions, segment.config().dim, bench_->kv_bytes_max));
  }
  return data;
}

result<void> shard_core::open(request_id request, epoch driver, std::uint32_t positions,
                              position keep) {
  if (session* known = find(request)) {
    if (driver < known->driver) {
      return fail(errc::superseded, "a driver of epoch {} is behind epoch {}", driver.value,
                  known->driver.value);
    }
    // Work of an earlier epoch is void: the new driver asks for what is still missing.
    known->driver = driver;
    known->queue.clear();
    known->finish_owed = false;
    std::erase(turns_, request);
    if (known->length > keep || known->positions != positions) {
      OVIR_ASSIGN(known->data, fresh_data(positions));
      known->positions = positions;
      known->length = 0;
      known->stale = known->busy;
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
  OVIR_ASSIGN(fresh.data, fresh_data(positions));
  sessions_.emplace(request, std::move(fresh));
  return {};
}

result<void> shard_core::accept(const frame_bytes& frame) {
  OVIR_ASSIGN(const frame_view view, decode_frame(*frame));
  const frame_header& h = view.header;
  session* s = find(h.request);
  if (s == nullptr || h.epoch != s->driver) {
    return {};
  }
  const std::uint32_t width = bench_->segment->is_first() ? 1 : bench_->segment->config().dim;
  if (h.kind != input_kind(*bench_->segment) || h.width != width) {
    return fail(errc::malformed, "a frame of kind {} and width {} came to a stage of width {}",
                static_cast<unsigned>(h.kind), h.width, width);
  }
  return enqueue(*s, step_work{frame, h});
}

result<void> shard_core::replay(const replay_boundaries& order) {
  session* s = find(order.request);
  if (s == nullptr || order.driver != s->driver) {
    return {};
  }
  return enqueue(*s, replay_work{order.first, order.count, order.logit_rows});
}

result<void> shard_core::resend(const resend_logits& order) {
  session* s = find(order.request);
  if (s == nullptr || order.driver != s->driver) {
    return {};
  }
  return enqueue(*s, resend_work{order.at});
}

void shard_core::finish(const finish_session& order) {
  session* s = find(order.request);
  if (s != nullptr && order.driver == s->driver) {
    s->finish_owed = true;
  }
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
  s.queue.push_back(std::move(work));
  if (!s.busy && s.queue.size() == 1) {
    turns_.push_back(s.request);
  }
  return {};
}

std::optional<shard_job> shard_core::next_job() {
  if (busy_ || turns_.empty()) {
    return std::nullopt;
  }
  session* s = find(turns_.front());
  turns_.pop_front();
  OVIR_CHECK(s != nullptr && !s->busy && !s->queue.empty());
  shard_job job{s->request, s->driver, s->data, std::move(s->queue.front())};
  s->queue.pop_front();
  s->busy = true;
  busy_ = true;
  return job;
}

shard_core::session* shard_core::job_ended(request_id request, position length) {
  OVIR_CHECK(busy_);
  busy_ = false;
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
  if (!s->queue.empty()) {
    turns_.push_back(request);
  }
  return s;
}

session_finished shard_core::describe(const session& s) const {
  OVIR_CHECK(!s.busy);
  const std::uint32_t layers = bench_->segment->layers().size();
  session_finished out;
  out.driver = s.driver;
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
