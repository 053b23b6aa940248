#include "actors/shard_core.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <span>

namespace ovir::actors {

namespace {

std::span<const std::byte> bytes_of(std::span<const float> values) { return std::as_bytes(values); }

frame_bytes share(const frame_header& header, std::span<const float> values) {
  return std::make_shared<const std::vector<std::byte>>(encode_frame(header, bytes_of(values)));
}

frame_bytes logits_frame(const shard_job& job, const compute::segment& segment) {
  const session_data& data = *job.data;
  const frame_header header{frame_kind::logits,
                            job.request,
                            job.driver,
                            *data.logits_at,
                            1,
                            segment.config().vocabulary,
                            1};
  return share(header, data.logits);
}

frame_bytes boundary_frame(const shard_job& job, const compute::segment& segment, position first,
                           std::uint32_t count, std::uint32_t logit_rows) {
  const frame_header header{frame_kind::boundary, job.request, job.driver, first, count,
                            segment.config().dim, logit_rows};
  return share(header, job.data->boundaries.rows(first, count));
}

/// The rows of a frame the stage does not hold yet, as the segment takes them.
compute::step_input input_of(const frame_view& frame, position length) {
  const frame_header& h = frame.header;
  compute::step_input in;
  const std::uint32_t held = length - h.first;
  in.first = length;
  in.count = h.count - held;
  in.logit_rows = std::min(h.logit_rows, in.count);
  if (h.kind == frame_kind::tokens) {
    in.tokens = frame.tokens().subspan(held);
  } else {
    in.boundary = frame.floats().subspan(std::size_t{held} * h.width);
  }
  return in;
}

void keep_last_logits(session_data& data, const compute::step_input& in,
                      const compute::step_output& out, std::uint32_t vocabulary) {
  if (in.logit_rows == 0) {
    return;
  }
  const auto* last = out.logits.data() + std::size_t{in.logit_rows - 1} * vocabulary;
  data.logits.assign(last, last + vocabulary);
  data.logits_at = in.first + in.count - 1;
}

/// What is to be computed of a frame: nothing when it is a duplicate, computed before the lead's
/// epoch began, or does not fit.
std::optional<compute::step_input> begin_step(const step_work& work, shard_outcome& out) {
  const frame_header& h = work.header;
  if (h.first > out.length) {
    out.done = fail(errc::peer_lost, "a frame begins at position {} and the stage is at {}",
                    h.first, out.length);
    return std::nullopt;
  }
  if (h.first + h.count <= out.length) {
    return std::nullopt;
  }
  const auto view = decode_frame(*work.frame);
  OVIR_CHECK(view.has_value());
  return input_of(*view, out.length);
}

void end_step(const shard_job& job, const compute::session_step& step,
              const compute::segment& segment, shard_outcome& out) {
  const compute::step_input& in = step.in;
  session_data& data = *job.data;
  out.done = step.done;
  if (!out.done) {
    return;
  }
  out.length = data.state.kv.length();
  out.units = units_closed(in.first, in.count, segment.layers().size());
  out.leaves = step.out->leaves;
  data.leaves.insert(data.leaves.end(), out.leaves.begin(), out.leaves.end());
  if (!segment.is_last()) {
    data.boundaries.append(step.out->boundary);
    out.outgoing = boundary_frame(job, segment, in.first, in.count, in.logit_rows);
    return;
  }
  keep_last_logits(data, in, *step.out, segment.config().vocabulary);
  if (in.logit_rows > 0) {
    out.outgoing = logits_frame(job, segment);
  }
}

void replay_step(const shard_job& job, const replay_work& work, const compute::segment& segment,
                 shard_outcome& out) {
  const std::uint64_t end = std::uint64_t{work.first} + work.count;
  if (segment.is_last() || work.count == 0 || end > out.length) {
    out.done = fail(errc::peer_lost, "positions below {} are to be replayed, the stage is at {}",
                    end, out.length);
    return;
  }
  out.outgoing = boundary_frame(job, segment, work.first, work.count, work.logit_rows);
}

void resend_step(const shard_job& job, const resend_work& work, const compute::segment& segment,
                 shard_outcome& out) {
  if (job.data->logits_at != work.at) {
    out.done = fail(errc::peer_lost, "the logits of position {} are not kept here", work.at);
    return;
  }
  out.outgoing = logits_frame(job, segment);
}

} // namespace

std::vector<shard_outcome> perform(std::span<const shard_job> pass, stage_bench& bench,
                                   compute::parallel_runner& runner) {
  std::vector<shard_outcome> outcomes(pass.size());
  std::vector<compute::session_step> steps;
  std::vector<std::size_t> jobs; // of the steps
  bench.outputs.resize(std::max(bench.outputs.size(), pass.size()));
  for (std::size_t i = 0; i < pass.size(); ++i) {
    const shard_job& job = pass[i];
    shard_outcome& out = outcomes[i];
    out.length = job.data->state.kv.length();
    if (const auto* step = std::get_if<step_work>(&job.work)) {
      if (const auto in = begin_step(*step, out)) {
        steps.push_back({&job.data->state, *in, &bench.outputs[steps.size()]});
        jobs.push_back(i);
      }
    } else if (const auto* replay = std::get_if<replay_work>(&job.work)) {
      replay_step(job, *replay, *bench.segment, out);
    } else {
      resend_step(job, std::get<resend_work>(job.work), *bench.segment, out);
    }
  }
  bench.segment->forward(steps, runner);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    end_step(pass[jobs[i]], steps[i], *bench.segment, outcomes[jobs[i]]);
  }
  return outcomes;
}

} // namespace ovir::actors
