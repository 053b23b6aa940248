#include "actors/stage/shard_core.hpp"
#include "compute/forward/kv_digest.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace ovir::actors {

namespace {

std::span<const std::byte> bytes_of(std::span<const float> values) { return std::as_bytes(values); }

frame_bytes share(const frame_header& header, std::span<const float> values) {
  return std::make_shared<const std::vector<std::byte>>(encode_frame(header, bytes_of(values)));
}

frame_bytes choice_frame(const shard_job& job, position first, std::uint32_t vocabulary,
                         std::span<const float> logits) {
  std::vector<token_choice> choices;
  for (position p = first; !logits.empty(); ++p) {
    const auto row = logits.first(vocabulary);
    choices.push_back({compute::highest_of(row), compute::logits_digest(p, row)});
    logits = logits.subspan(vocabulary);
  }
  const auto rows = static_cast<std::uint32_t>(choices.size());
  const frame_header header{frame_kind::choice, job.request, job.driver, first, rows,
                            choice_width,       rows};
  return std::make_shared<const std::vector<std::byte>>(
      encode_frame(header, std::as_bytes(std::span{choices})));
}

frame_bytes hidden_frame(const shard_job& job, const compute::session_step& step,
                         std::uint32_t dim) {
  const compute::step_input& in = step.in;
  const position first = in.first + in.count - in.hidden_rows;
  const frame_header header{frame_kind::hidden, job.request, job.driver,    first,
                            in.hidden_rows,     dim,         in.hidden_rows};
  return share(header, step.out->hidden);
}

frame_bytes answer_frame(const shard_job& job, position first, std::uint32_t vocabulary,
                         std::span<const float> logits) {
  if (job.answers == stage_answers::highest) {
    return choice_frame(job, first, vocabulary, logits);
  }
  const auto rows = static_cast<std::uint32_t>(logits.size() / vocabulary);
  const frame_header header{frame_kind::logits, job.request, job.driver, first, rows,
                            vocabulary,         rows};
  return share(header, logits);
}

/// The rows of a step, drafts among them: what goes on is what was computed.
frame_bytes boundary_frame(const shard_job& job, const compute::session_step& step,
                           std::uint32_t dim) {
  const compute::step_input& in = step.in;
  const frame_kind kind = in.drafts > 0 ? frame_kind::drafted_boundary : frame_kind::boundary;
  const auto* const step_of = std::get_if<step_work>(&job.work);
  const frame_header header{
      kind,          job.request,
      job.driver,    in.first,
      in.count,      dim,
      in.logit_rows, step_of == nullptr ? std::uint16_t{0} : step_of->header.slack};
  return share(header, step.out->boundary);
}

frame_bytes kept_boundary_frame(const shard_job& job, const compute::segment& segment,
                                position first, std::uint32_t count, std::uint32_t logit_rows) {
  const frame_header header{frame_kind::boundary, job.request, job.driver, first, count,
                            segment.config().dim, logit_rows};
  return share(header, job.data->boundaries.rows(first, count));
}

/// The rows of a frame the stage does not hold yet, as the segment takes them. Drafts that it holds
/// are not among these: the frame may say that they were wrong.
compute::step_input input_of(const frame_view& frame, position length) {
  const frame_header& h = frame.header;
  compute::step_input in;
  const std::uint32_t held = h.first < length ? length - h.first : 0;
  in.first = std::max(h.first, length);
  in.count = h.count - held;
  in.logit_rows = std::min(h.logit_rows, in.count);
  in.drafts = h.drafts();
  if (holds_tokens(h.kind)) {
    in.tokens = frame.tokens().subspan(held);
  } else {
    in.boundary = frame.floats().subspan(std::size_t{held} * h.width);
  }
  return in;
}

/// Answers for the last row that is no draft, and for the drafts. Keeps the logits of the former,
/// which are certainly drawn from.
frame_bytes answer_logits(const shard_job& job, const compute::step_input& in,
                          std::span<const float> logits, std::uint32_t vocabulary) {
  session_data& data = *job.data;
  logits = logits.last(std::size_t{in.drafts + 1} * vocabulary);
  const auto kept = logits.first(vocabulary);
  data.logits.assign(kept.begin(), kept.end());
  data.logits_at = in.first + in.count - 1 - in.drafts;
  data.logits_of = job.driver;
  return answer_frame(job, *data.logits_at, vocabulary, logits);
}

/// Where a stage took another's place, logits were drawn from that it did not compute: it is asked
/// for them again, to state them, and sends only the last.
std::vector<std::pair<position, stated_draw>> earlier_logits(const shard_job& job,
                                                             const compute::step_input& in,
                                                             std::span<const float> logits,
                                                             std::uint32_t vocabulary) {
  std::vector<std::pair<position, stated_draw>> draws;
  const position end = in.first + in.count;
  for (std::uint32_t row = 0; row + in.drafts + 1 < in.logit_rows; ++row) {
    const position at = end - in.logit_rows + row;
    const auto one = logits.subspan(std::size_t{row} * vocabulary, vocabulary);
    stated_draw draw{compute::logits_digest(at, one), {}};
    if (job.answers == stage_answers::highest) {
      draw.choice = compute::highest_of(one);
    }
    draws.emplace_back(at, draw);
  }
  return draws;
}

/// What is to be computed of a frame: nothing when it is a duplicate, computed before the lead's
/// epoch began, or does not fit.
std::optional<compute::step_input> begin_step(const shard_job& job, const step_work& work,
                                              const compute::segment& segment, shard_outcome& out) {
  const compute::segment_state& state = job.data->state;
  const frame_header& h = work.header;
  const bool hidden = job.answers == stage_answers::hidden;
  if (hidden && h.drafts() > 0) {
    out.done = fail(errc::malformed, "a request that draws nothing came with guesses");
    return std::nullopt;
  }
  if (h.first > state.kv.length()) {
    out.done = fail(errc::peer_lost, "a frame begins at position {} and the stage is at {}",
                    h.first, out.length);
    return std::nullopt;
  }
  if (h.first + h.count - h.drafts() <= out.length) {
    return std::nullopt;
  }
  const auto view = decode_frame(*work.frame);
  OVIR_CHECK(view.has_value());
  compute::step_input in = input_of(*view, out.length);
  if (hidden && segment.is_last()) {
    in.hidden_rows = std::exchange(in.logit_rows, 0);
  }
  return in;
}

/// What the windows that became complete were computed from, and their K and V.
void add_origins(const shard_job& job, const compute::segment& segment, position before,
                 compute::parallel_runner& runner, shard_outcome& out) {
  session_data& data = *job.data;
  constexpr std::uint32_t size = limits::window_positions;
  const layer_range layers = segment.layers();
  for (std::uint32_t w = before / size; (w + 1) * size <= out.length; ++w) {
    const auto input = data.input.at(w, size);
    data.input.forget(w);
    if (!input) {
      return;
    }
    window_origin origin{w, *input, data.earlier, std::vector<digest>(layers.size()), {}};
    runner.run(layers.size(), [&](std::size_t i) {
      origin.kv[i] =
          compute::kv_digest(data.state.kv, layers.first + static_cast<layer_index>(i), w, size);
    });
    for (std::size_t i = 0; i < layers.size(); ++i) {
      data.earlier[i] = with_earlier(data.earlier[i], origin.kv[i]);
    }
    if (job.signs) {
      out.kept.push_back({w, size, *input, data.input.take_rows(w, size), origin.kv});
    }
    out.windows.push_back(std::move(origin));
  }
}

void end_step(const shard_job& job, const compute::session_step& step,
              const compute::segment& segment, compute::parallel_runner& runner,
              shard_outcome& out) {
  const compute::step_input& in = step.in;
  session_data& data = *job.data;
  out.done = step.done;
  if (!out.done) {
    return;
  }
  const position before = std::exchange(out.length, data.state.length());
  const frame_bytes& frame = std::get<step_work>(job.work).frame;
  const auto view = decode_frame(*frame);
  OVIR_CHECK(view.has_value());
  if (job.signs) {
    data.input.keep_rows();
  }
  data.input.add(*view, frame);
  add_origins(job, segment, before, runner, out);
  out.units = units_closed(before, out.length - before, segment.layers().size());
  out.leaves = step.out->leaves;
  data.leaves.insert(data.leaves.end(), out.leaves.begin(), out.leaves.end());
  if (!segment.is_last()) {
    data.boundaries.truncate(in.first); // wrong drafts
    data.boundaries.append(step.out->boundary);
    out.outgoing = boundary_frame(job, step, segment.config().dim);
    return;
  }
  if (in.hidden_rows > 0) {
    out.outgoing = hidden_frame(job, step, segment.config().dim);
  }
  if (in.logit_rows > 0) {
    if (job.signs) {
      out.logits = earlier_logits(job, in, step.out->logits, segment.config().vocabulary);
    }
    out.outgoing = answer_logits(job, in, step.out->logits, segment.config().vocabulary);
    out.told = in.count == 1 && in.drafts == 0 && out.units == 0 && out.leaves.empty();
  }
}

/// A draft that makes values which are not finite must not end a request that would not meet them
/// without it: then only what precedes the drafts is computed.
void compute_without_drafts(std::vector<compute::session_step>& steps, compute::segment& segment,
                            compute::parallel_runner& runner) {
  for (compute::session_step& step : steps) {
    compute::step_input& in = step.in;
    if (step.done || in.drafts == 0) {
      continue;
    }
    in.count -= in.drafts;
    in.logit_rows -= in.drafts;
    in.drafts = 0;
    in.tokens = in.tokens.first(segment.is_first() ? in.count : 0);
    in.boundary =
        in.boundary.first(segment.is_first() ? 0 : std::size_t{in.count} * segment.config().dim);
    segment.forward({&step, 1}, runner);
  }
}

void replay_step(const shard_job& job, const replay_work& work, const compute::segment& segment,
                 shard_outcome& out) {
  const std::uint64_t end = std::uint64_t{work.first} + work.count;
  if (segment.is_last() || work.count == 0 || end > out.length ||
      work.first < job.data->boundaries.first()) {
    out.done =
        fail(errc::peer_lost, "positions {} to {} are to be replayed, the stage has {} to {}",
             work.first, end, segment.is_last() ? 0 : job.data->boundaries.first(), out.length);
    return;
  }
  out.outgoing = kept_boundary_frame(job, segment, work.first, work.count, work.logit_rows);
}

void resend_step(const shard_job& job, const resend_work& work, const compute::segment& segment,
                 shard_outcome& out) {
  const session_data& data = *job.data;
  if (data.logits_at > work.at && data.logits_of == job.driver) {
    return; // the lead went on, so it has them: its order and they crossed
  }
  if (data.logits_at != work.at) {
    out.done = fail(errc::peer_lost, "the logits of position {} are not kept here", work.at);
    return;
  }
  out.outgoing = answer_frame(job, work.at, segment.config().vocabulary, data.logits);
}

/// Windows, from the first on, whose units belong together: each was computed from the one before
/// it in its window and, of its layer, from the windows before.
std::size_t windows_that_fit(std::span<const compute::kv_block> blocks, std::size_t layers,
                             std::vector<digest> earlier) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const compute::kv_block_header& h = blocks[i].header();
    const std::size_t layer = i % layers;
    if (h.earlier != earlier[layer] || (layer > 0 && h.input != blocks[i - 1].header().output)) {
      return i / layers;
    }
    earlier[layer] = with_earlier(earlier[layer], h.kv);
  }
  return blocks.size() / layers;
}

window_origin origin_of(std::span<const compute::kv_block> window, const node_id& self) {
  window_origin origin{window.front().header().window, window.front().header().input, {}, {}, {}};
  for (const compute::kv_block& block : window) {
    origin.earlier.push_back(block.header().earlier);
    origin.kv.push_back(block.header().kv);
    const node_id author = block.author();
    if (!author.empty() && author != self) {
      origin.cited.push_back(block.citation());
    }
  }
  return origin;
}

/// Units that were computed before, by whomever: K and V as they were, and the leaves they state.
void restore_step(const shard_job& job, const restore_work& work, const stage_bench& bench,
                  compute::parallel_runner& runner, shard_outcome& out) {
  const compute::segment& segment = *bench.segment;
  session_data& data = *job.data;
  compute::segment_state& state = data.state;
  const std::size_t layers = segment.layers().size();
  const std::uint64_t end =
      (work.units.first + work.units.blocks.size() / layers) * limits::window_positions;
  if (work.units.first * limits::window_positions != out.length ||
      state.kv.length() != out.length || end > state.kv.capacity()) {
    out.done =
        fail(errc::internal, "units up to position {} came for a stage at {}", end, out.length);
    return;
  }
  const std::size_t windows = windows_that_fit(work.units.blocks, layers, data.earlier);
  const auto blocks = std::span{work.units.blocks}.first(windows * layers);
  runner.run(blocks.size(), [&](std::size_t i) { blocks[i].copy_to(state.kv); });
  for (const compute::kv_block& block : blocks) {
    const compute::kv_block_header& h = block.header();
    if (h.layer + 1 < segment.config().layers) {
      out.leaves.push_back({{h.window, h.layer}, limits::window_positions, h.output});
    }
  }
  const node_id self = bench.desk != nullptr ? bench.desk->key->id() : node_id{};
  for (std::size_t w = 0; w < windows; ++w) {
    out.windows.push_back(origin_of(blocks.subspan(w * layers, layers), self));
    const window_origin& origin = out.windows.back();
    for (std::size_t i = 0; i < layers; ++i) {
      data.earlier[i] = with_earlier(data.earlier[i], origin.kv[i]);
    }
    data.reused_inputs.push_back(origin.input);
    if (job.signs) {
      out.kept.push_back({origin.window, limits::window_positions, origin.input, {}, origin.kv});
    }
  }
  const std::uint32_t next = work.units.first + static_cast<std::uint32_t>(windows);
  state.resume_at(next);
  data.input.skip_to(next);
  out.length = state.length();
  data.leaves.insert(data.leaves.end(), out.leaves.begin(), out.leaves.end());
  if (!segment.is_last()) {
    data.boundaries.begin_at(out.length);
  }
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
    out.length = job.data->state.length();
    if (const auto* step = std::get_if<step_work>(&job.work)) {
      if (const auto in = begin_step(job, *step, *bench.segment, out)) {
        steps.push_back({&job.data->state, *in, &bench.outputs[steps.size()]});
        jobs.push_back(i);
      }
    } else if (const auto* replay = std::get_if<replay_work>(&job.work)) {
      replay_step(job, *replay, *bench.segment, out);
    } else if (const auto* restore = std::get_if<restore_work>(&job.work)) {
      restore_step(job, *restore, bench, runner, out);
    } else {
      resend_step(job, std::get<resend_work>(job.work), *bench.segment, out);
    }
  }
  bench.segment->forward(steps, runner);
  compute_without_drafts(steps, *bench.segment, runner);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    end_step(pass[jobs[i]], steps[i], *bench.segment, runner, outcomes[jobs[i]]);
  }
  return outcomes;
}

} // namespace ovir::actors
