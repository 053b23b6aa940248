#include "compute/forward/segment.hpp"

#include "compute/forward/layer_step.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/model/lora.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "messages/limits/draft.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ovir::compute {

/// What a layer put out of one session, for its leaves.
struct layer_rows {
  std::span<const float> all; ///< [count][dim]; unspecified in `windows`
  std::uint32_t lead{0};      ///< rows before the first whole window that was digested elsewhere
  std::span<const digest> windows{};
};

/// The engine of a segment, and memory of its passes.
struct engine_rows {
  std::unique_ptr<layer_engine> engine;
  std::vector<engine_session> sessions;
  std::vector<float> boundaries; ///< [layers hashed][rows][dim]
  std::vector<digest> digests;   ///< [layers hashed][windows of all sessions]
};

struct segment::impl {
  model weights; ///< own copy of the views, because checking marks rows wide
  layer_range layers;
  const kernel_set* kernels;
  rope_table rope;
  rope_table window_rope; ///< of layers with a window, where they have their own
  step_scratch scratch;
  std::vector<float> x; ///< [rows][dim], the residual stream of the current pass
  std::vector<float> shared_logits;
  // The sessions of the current pass, and for each its step and what its hash states will be: these
  // advance only with the whole step, so that a failed one leaves no trace.
  std::vector<session_rows> sessions;
  std::vector<session_step*> steps;
  std::vector<unit_digests> units;
  std::vector<std::vector<float>> drafts; ///< boundaries of rows that are guesses
  engine_rows on_engine;                  ///< where layers are computed elsewhere

  [[nodiscard]] bool is_first() const noexcept { return layers.first == 0; }
  [[nodiscard]] bool is_last() const noexcept { return layers.last == weights.config.layers; }
  [[nodiscard]] std::span<float> rows_of(const session_rows& s) noexcept {
    const std::size_t dim = weights.config.dim;
    return {x.data() + s.row * dim, s.count * dim};
  }

  [[nodiscard]] result<void> check_input(const segment_state& state, const step_input& in) const;
  [[nodiscard]] std::uint32_t gather(std::span<session_step> all);
  void load_input(parallel_runner& runner);
  void hash(std::size_t i, layer_index layer, const layer_rows& rows);
  void keep_drafts(std::size_t i, layer_index layer, std::span<const float> rows);
  [[nodiscard]] std::size_t plan_engine_pass();
  void hash_engine_pass(std::size_t windows, std::uint32_t rows);
  [[nodiscard]] bool run_engine(std::uint32_t rows, parallel_runner& runner);
  [[nodiscard]] bool run_layers(std::uint32_t rows, parallel_runner& runner);
  void logits(parallel_runner& runner);
  [[nodiscard]] result<void> multiply_head(std::span<const float* const> sources,
                                           std::span<float> all, parallel_runner& runner);
  void hidden(parallel_runner& runner);
  void finish();
};

namespace {

result<void> check_range(const model_config& config, layer_range layers) {
  if (layers.first >= layers.last || layers.last > config.layers) {
    return fail(errc::invalid_argument,
                "a segment of layers [{}, {}) does not exist in a model of {} layers", layers.first,
                layers.last, config.layers);
  }
  return {};
}

} // namespace

segment::segment(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}
segment::~segment() = default;

result<std::unique_ptr<segment>> segment::make(const model& m, layer_range layers,
                                               const kernel_set& kernels, parallel_runner& runner) {
  OVIR_TRY(check_range(m.config, layers));
  model checked = m;
  OVIR_TRY(check_weights(checked, layers, runner));
  return make_checked(checked, layers, kernels);
}

result<std::unique_ptr<segment>> segment::make_checked(const model& checked, layer_range layers,
                                                       const kernel_set& kernels) {
  OVIR_TRY(check_range(checked.config, layers));
  auto parts = std::make_unique<impl>();
  parts->weights = checked;
  parts->layers = layers;
  parts->kernels = &kernels;
  std::vector<float> factors;
  if (const weight& w = parts->weights.rope_factors; !w.empty()) {
    factors.resize(w.cols);
    embed_row(w, 0, factors.data());
  }
  parts->rope = rope_table{checked.config, factors};
  if (checked.config.window_rope_base != 0) {
    parts->window_rope = rope_table::of_windows(checked.config);
  }
  return std::unique_ptr<segment>{new segment{std::move(parts)}};
}

result<std::unique_ptr<segment>> segment::make_with(const model& checked, layer_range layers,
                                                    const kernel_set& kernels,
                                                    std::unique_ptr<layer_engine> engine) {
  OVIR_ASSIGN(std::unique_ptr<segment> made, make_checked(checked, layers, kernels));
  made->impl_->on_engine.engine = std::move(engine);
  return made;
}

const model_config& segment::config() const noexcept { return impl_->weights.config; }
layer_range segment::layers() const noexcept { return impl_->layers; }
bool segment::is_first() const noexcept { return impl_->is_first(); }
bool segment::is_last() const noexcept { return impl_->is_last(); }
bool segment::takes_adapters() const noexcept { return impl_->on_engine.engine == nullptr; }

std::uint64_t segment::weight_bytes() const noexcept {
  return layer_bytes() +
         (is_last() ? file_bytes(impl_->weights.output_norm) + held_bytes(impl_->weights.output)
                    : 0);
}

std::uint64_t segment::layer_bytes() const noexcept {
  std::uint64_t total = 0;
  for (layer_index l = impl_->layers.first; l < impl_->layers.last; ++l) {
    total += held_bytes(impl_->weights.layers[l]);
  }
  return total;
}

result<segment_state> segment::open(std::uint32_t positions, std::size_t kv_bytes_max) const {
  OVIR_ASSIGN(kv_cache kv, kv_cache::make(config(), layers(), positions, kv_bytes_max));
  layer_range hashed = layers();
  if (is_last()) {
    --hashed.last; // the last layer's boundary is not part of the transcript
  }
  segment_state state{std::move(kv), unit_digests{hashed}};
  state.lora = impl_->weights.lora;
  return state;
}

result<void> segment::impl::check_input(const segment_state& state, const step_input& in) const {
  const model_config& c = weights.config;
  if (in.count == 0 || in.count > limits::prefill_chunk_max) {
    return fail(errc::malformed, "a step of {} positions; a step has 1 to {}", in.count,
                limits::prefill_chunk_max);
  }
  if (in.first < state.length() || in.first > state.kv.length()) {
    return fail(errc::malformed, "a step at position {} for a segment that is at {}", in.first,
                state.length());
  }
  if (in.drafts >= in.count || in.drafts > limits::draft_tokens_max) {
    return fail(errc::malformed, "{} of {} positions are drafts; at most {}, and not all, can be",
                in.drafts, in.count, limits::draft_tokens_max);
  }
  if (in.count > state.kv.capacity() - in.first) {
    return fail(errc::over_limit, "positions {} to {} do not fit a request of {} positions",
                in.first, in.first + in.count - 1, state.kv.capacity());
  }
  const std::size_t values = std::size_t{in.count} * c.dim;
  if (is_first() ? in.tokens.size() != in.count : in.boundary.size() != values) {
    return fail(errc::malformed, "a step of {} positions came with {} tokens and {} values",
                in.count, in.tokens.size(), in.boundary.size());
  }
  if (state.lora && (on_engine.engine || state.lora->layers.size() != weights.layers.size())) {
    return fail(errc::unsupported, "a request with an adapter came to a segment that has none for "
                                   "it; compute it where the adapter's base is computed by itself");
  }
  if (in.logit_rows > in.count) {
    return fail(errc::malformed, "logits of {} rows asked of a step of {}", in.logit_rows,
                in.count);
  }
  for (const token_id id : in.tokens) {
    if (id >= c.vocabulary) {
      return fail(errc::malformed, "token {} is outside the vocabulary of {}", id, c.vocabulary);
    }
  }
  return {};
}

// Lays the rows of all steps that are in order one behind the other; how many there are.
std::uint32_t segment::impl::gather(std::span<session_step> all) {
  sessions.clear();
  steps.clear();
  units.clear();
  scratch.session_of.clear();
  std::uint32_t rows = 0;
  for (session_step& step : all) {
    step.out->boundary.clear();
    step.out->logits.clear();
    step.out->leaves.clear();
    step.done = check_input(*step.state, step.in);
    if (step.done) {
      scratch.session_of.insert(scratch.session_of.end(), step.in.count,
                                static_cast<std::uint32_t>(sessions.size()));
      sessions.push_back(
          {&step.state->kv, step.in.first, step.in.count, rows, {}, step.state->lora.get()});
      steps.push_back(&step);
      units.push_back(step.state->units);
      rows += step.in.count;
    }
  }
  drafts.resize(std::max(drafts.size(), sessions.size()));
  OVIR_CHECK(sessions.size() <= limits::pass_sessions_max && rows <= limits::prefill_chunk_max,
             sessions.size(), rows);
  scratch.ok.assign(rows, 1);
  return rows;
}

void segment::impl::load_input(parallel_runner& runner) {
  const std::uint32_t dim = weights.config.dim;
  x.resize(std::max(x.size(), scratch.session_of.size() * dim));
  if (is_first()) {
    for_tokens(scratch.session_of.size(), runner, [&](std::size_t row) {
      const std::size_t i = scratch.session_of[row];
      embed_row(weights.token_embedding, steps[i]->in.tokens[row - sessions[i].row],
                x.data() + row * dim);
      scale_by(x.data() + row * dim, dim, weights.config.embedding_scale);
    });
  }
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    session_rows& s = sessions[i];
    const std::span<float> values = rows_of(s);
    if (!is_first()) {
      std::memcpy(values.data(), steps[i]->in.boundary.data(), values.size_bytes());
    }
    if (!all_finite(values)) {
      const auto bad =
          std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
      s.failed = fail(errc::nonfinite, "a NaN or infinity entered layer {} at position {}",
                      layers.first, s.first + (bad - values.begin()) / dim);
      std::fill_n(scratch.ok.begin() + s.row, s.count, std::uint8_t{0});
    }
  }
}

// Adds a layer's rows to its session's open leaves: earlier drafts that turned out right, then
// those of this step that are none.
void segment::impl::hash(std::size_t i, layer_index layer, const layer_rows& rows) {
  const session_rows& s = sessions[i];
  const session_step& step = *steps[i];
  std::vector<unit_leaf>& leaves = step.out->leaves;
  const std::uint32_t dim = weights.config.dim;
  const position counted = step.state->length();
  if (const std::uint32_t right = s.first - counted; right > 0) {
    const drafted_rows& kept = step.state->drafts;
    const std::span<const float> all{kept.boundaries};
    units[i].add(
        layer, counted, right,
        all.subspan(std::size_t{layer - layers.first} * kept.count * dim, std::size_t{right} * dim),
        dim, leaves);
  }
  const std::uint32_t known = s.count - step.in.drafts;
  std::uint32_t done = 0;
  if (!rows.windows.empty()) {
    done = rows.lead;
    units[i].add(layer, s.first, done, rows.all.first(std::size_t{done} * dim), dim, leaves);
    for (const digest& window : rows.windows) {
      units[i].add_window(layer, window, leaves);
      done += limits::window_positions;
    }
  }
  units[i].add(layer, s.first + done, known - done,
               rows.all.subspan(std::size_t{done} * dim, std::size_t{known - done} * dim), dim,
               leaves);
  if (step.in.drafts > 0) {
    keep_drafts(i, layer, rows.all);
  }
}

void segment::impl::keep_drafts(std::size_t i, layer_index layer, std::span<const float> rows) {
  const std::size_t size = std::size_t{steps[i]->in.drafts} * weights.config.dim;
  std::vector<float>& kept = drafts[i];
  const std::size_t at = (layer - layers.first) * size;
  kept.resize(std::max(kept.size(), at + size));
  const std::span<const float> last = rows.last(size);
  std::copy(last.begin(), last.end(), kept.begin() + static_cast<std::ptrdiff_t>(at));
}

// The sessions of a pass for the engine; how many windows it digests of each layer.
std::size_t segment::impl::plan_engine_pass() {
  std::size_t windows = 0;
  on_engine.sessions.clear();
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    session_rows& s = sessions[i];
    engine_session e{s.kv, &steps[i]->state->engine, s.first, s.count, s.row};
    const std::uint32_t begun = s.first % limits::window_positions;
    const std::uint32_t known = s.count - steps[i]->in.drafts;
    e.lead = begun == 0 ? 0 : limits::window_positions - begun;
    e.windows = known > e.lead ? (known - e.lead) / limits::window_positions : 0;
    e.failed = std::move(s.failed);
    windows += e.windows;
    on_engine.sessions.push_back(std::move(e));
  }
  return windows;
}

void segment::impl::hash_engine_pass(std::size_t windows, std::uint32_t rows) {
  const std::size_t dim = weights.config.dim;
  const layer_index end = std::min(layers.last, weights.config.layers - 1);
  for (layer_index l = layers.first; l < end; ++l) {
    const std::size_t at = l - layers.first;
    std::span<const digest> digests = std::span{on_engine.digests}.subspan(at * windows, windows);
    const std::span<const float> boundary =
        std::span{on_engine.boundaries}.subspan(at * rows * dim, rows * dim);
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      const engine_session& e = on_engine.sessions[i];
      if (!sessions[i].failed) {
        hash(i, l,
             {boundary.subspan(e.row * dim, e.count * dim), e.lead, digests.first(e.windows)});
      }
      digests = digests.subspan(e.windows);
    }
  }
}

// As run_layers, by the engine.
bool segment::impl::run_engine(std::uint32_t rows, parallel_runner& runner) {
  const model_config& c = weights.config;
  const std::size_t windows = plan_engine_pass();
  const layer_range hashed{layers.first, std::min(layers.last, c.layers - 1)};
  grown(on_engine.boundaries, std::size_t{hashed.size()} * rows * c.dim);
  grown(on_engine.digests, hashed.size() * windows);
  engine_pass pass{
      on_engine.sessions, rows, {x.data(), std::size_t{rows} * c.dim}, hashed, on_engine.boundaries,
      on_engine.digests};
  pass.runner = &runner;
  const auto done = on_engine.engine->run(pass);
  bool any = false;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    sessions[i].failed = std::move(on_engine.sessions[i].failed);
    if (!done && !sessions[i].failed) {
      sessions[i].failed = done.error();
    }
    any = any || !sessions[i].failed;
  }
  if (any) {
    hash_engine_pass(windows, rows);
  }
  return any;
}

// False when no session is left.
bool segment::impl::run_layers(std::uint32_t rows, parallel_runner& runner) {
  const model_config& c = weights.config;
  const std::span<float> stream{x.data(), std::size_t{rows} * c.dim};
  const auto hash_unless_failed = [&](std::size_t i, layer_index layer) {
    if (!sessions[i].failed) {
      hash(i, layer, {rows_of(sessions[i])});
    }
  };
  for (layer_index l = layers.first; l < layers.last; ++l) {
    const layer_kind kind = c.kind_of(l);
    // In the first region of the layer behind, which does not change the stream yet.
    const std::function<void(std::size_t)> hash_before = [&](std::size_t i) {
      hash_unless_failed(i, l - 1);
    };
    const layer_step step{c,        weights.layers[l],
                          l,        kind,
                          *kernels, kind.window_rope ? window_rope : rope,
                          sessions, rows,
                          scratch,  l > layers.first ? &hash_before : nullptr};
    if (!step.run(stream, runner)) {
      return false;
    }
  }
  if (layers.last < c.layers) {
    for_tokens(sessions.size(), runner,
               [&](std::size_t i) { hash_unless_failed(i, layers.last - 1); });
  }
  return true;
}

// Products of the head with the normed rows at `sources`; scratch.ok is false for those that are
// not finite.
result<void> segment::impl::multiply_head(std::span<const float* const> sources,
                                          std::span<float> all, parallel_runner& runner) {
  const model_config& c = weights.config;
  std::vector<std::uint8_t>& ok = scratch.ok;
  if (on_engine.engine && on_engine.engine->has_head()) {
    return on_engine.engine->head(sources, all, ok);
  }
  const auto* norm = reinterpret_cast<const float*>(weights.output_norm.data);
  const product_group head[] = {{&weights.output, all.data()}};
  activations& a = scratch.hidden;
  a.reshape(static_cast<std::uint32_t>(sources.size()), c.dim, forms_of(head));
  for_tokens(sources.size(), runner, [&](std::size_t t) {
    kernels->rms_norm(sources[t], norm, c.dim, c.norm_epsilon, a.row(t));
    if (!a.quantize(*kernels, t)) {
      ok[t] = 0;
      std::fill_n(a.row(t), c.dim, 0.0F); // the row is multiplied all the same
      OVIR_CHECK(a.quantize(*kernels, t));
    }
  });
  multiply(*kernels, a, head, runner);
  return {};
}

void segment::impl::logits(parallel_runner& runner) {
  const model_config& c = weights.config;
  std::vector<const float*> sources; // of each row of logits: its row of the stream
  std::size_t asked = 0;
  std::vector<float>* only = nullptr;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const std::uint32_t wanted = sessions[i].failed ? 0 : steps[i]->in.logit_rows;
    const float* const end = rows_of(sessions[i]).data() + std::size_t{sessions[i].count} * c.dim;
    for (std::uint32_t t = wanted; t > 0; --t) {
      sources.push_back(end - std::size_t{t} * c.dim);
    }
    asked += wanted > 0 ? 1 : 0;
    only = wanted > 0 ? &steps[i]->out->logits : only;
  }
  if (sources.empty()) {
    return;
  }
  // Those of one session need not be copied.
  std::vector<float>& all = asked == 1 ? *only : shared_logits;
  all.resize(sources.size() * c.vocabulary);
  std::vector<std::uint8_t>& ok = scratch.ok;
  ok.assign(sources.size(), 1);
  if (const auto done = multiply_head(sources, all, runner); !done) {
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      if (!sessions[i].failed && steps[i]->in.logit_rows > 0) {
        sessions[i].failed = done.error();
      }
    }
    return;
  }
  for_tokens(sources.size(), runner,
             [&](std::size_t t) { finish_logits(c, all.data() + t * c.vocabulary, c.vocabulary); });
  std::size_t row = 0;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const step_input& in = steps[i]->in;
    if (sessions[i].failed || in.logit_rows == 0) {
      continue;
    }
    const float* const first = all.data() + row * c.vocabulary;
    const float* const last = first + std::size_t{in.logit_rows} * c.vocabulary;
    const auto normal = ok.begin() + static_cast<std::ptrdiff_t>(row);
    if (std::find(normal, normal + in.logit_rows, std::uint8_t{0}) != normal + in.logit_rows ||
        !all_finite({first, last})) {
      sessions[i].failed =
          fail(errc::nonfinite, "a NaN or infinity arose in the logits of positions {} to {}",
               in.first + in.count - in.logit_rows, in.first + in.count - 1);
    }
    if (asked > 1) {
      steps[i]->out->logits.assign(first, last);
    }
    row += in.logit_rows;
  }
}

// What the head would multiply.
void segment::impl::hidden(parallel_runner& runner) {
  const model_config& c = weights.config;
  const auto* norm = reinterpret_cast<const float*>(weights.output_norm.data);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const step_input& in = steps[i]->in;
    if (sessions[i].failed || in.hidden_rows == 0) {
      continue;
    }
    const std::span<const float> rows =
        rows_of(sessions[i]).last(std::size_t{in.hidden_rows} * c.dim);
    std::vector<float>& out = steps[i]->out->hidden;
    out.resize(rows.size());
    for_tokens(in.hidden_rows, runner, [&](std::size_t t) {
      kernels->rms_norm(rows.data() + t * c.dim, norm, c.dim, c.norm_epsilon,
                        out.data() + t * c.dim);
    });
    if (!all_finite(out)) {
      sessions[i].failed = fail(errc::nonfinite,
                                "a NaN or infinity arose in the last hidden state of positions {} "
                                "to {}",
                                in.first + in.count - in.hidden_rows, in.first + in.count - 1);
    }
  }
}

// Gives the sessions what was computed for them.
void segment::impl::finish() {
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    session_rows& s = sessions[i];
    session_step& step = *steps[i];
    if (s.failed) {
      step.done = std::move(*s.failed);
      continue;
    }
    if (!is_last()) {
      const std::span<const float> rows = rows_of(s);
      step.out->boundary.assign(rows.begin(), rows.end());
    }
    std::sort(step.out->leaves.begin(), step.out->leaves.end(),
              [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
    step.state->units = std::move(units[i]);
    step.state->kv.set_length(s.first + s.count);
    step.state->drafts.count = step.in.drafts;
    step.state->drafts.boundaries.swap(drafts[i]);
  }
}

result<void> segment::forward(segment_state& state, const step_input& in, parallel_runner& runner,
                              step_output& out) {
  session_step step{&state, in, &out};
  forward({&step, 1}, runner);
  return step.done;
}

void segment::forward(std::span<session_step> steps, parallel_runner& runner) {
  impl& s = *impl_;
  const std::uint32_t rows = s.gather(steps);
  if (rows == 0) {
    return;
  }
  s.load_input(runner);
  bool any = false;
  if (s.on_engine.engine) {
    any = s.run_engine(rows, runner);
  } else {
    for (const session_rows& session : s.sessions) {
      s.rope.grow(session.first + session.count);
      s.window_rope.grow(session.first + session.count);
    }
    any = s.run_layers(rows, runner);
  }
  if (any && s.is_last()) {
    s.logits(runner);
    s.hidden(runner);
  }
  s.finish();
}

} // namespace ovir::compute
