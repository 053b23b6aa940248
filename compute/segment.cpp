#include "compute/segment.hpp"

#include "compute/layer_step.hpp"
#include "compute/quantized_rows.hpp"
#include "messages/limits.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ovir::compute {

struct segment::impl {
  model weights; ///< own copy of the views, because checking marks rows wide
  layer_range layers;
  const kernel_set* kernels;
  rope_table rope;
  step_scratch scratch;
  std::vector<float> x; ///< [count][dim], the residual stream of the current step

  [[nodiscard]] bool is_first() const noexcept { return layers.first == 0; }
  [[nodiscard]] bool is_last() const noexcept { return layers.last == weights.config.layers; }

  [[nodiscard]] result<void> check_input(const segment_state& state, const step_input& in) const;
  [[nodiscard]] result<void> load_input(const step_input& in, parallel_runner& runner);
  [[nodiscard]] result<void> logits(const step_input& in, parallel_runner& runner,
                                    step_output& out);
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
  return std::unique_ptr<segment>{new segment{std::move(parts)}};
}

const model_config& segment::config() const noexcept { return impl_->weights.config; }
layer_range segment::layers() const noexcept { return impl_->layers; }
bool segment::is_first() const noexcept { return impl_->is_first(); }
bool segment::is_last() const noexcept { return impl_->is_last(); }

namespace {
std::uint64_t bytes(const weight& w) { return std::uint64_t{w.rows} * w.row_bytes(); }
} // namespace

std::uint64_t segment::weight_bytes() const noexcept {
  return layer_bytes() +
         (is_last() ? bytes(impl_->weights.output_norm) + bytes(impl_->weights.output) : 0);
}

std::uint64_t segment::layer_bytes() const noexcept {
  std::uint64_t total = 0;
  for (layer_index l = impl_->layers.first; l < impl_->layers.last; ++l) {
    const layer_weights& w = impl_->weights.layers[l];
    total += bytes(w.attn_norm) + bytes(w.attn_q) + bytes(w.attn_k) + bytes(w.attn_v) +
             bytes(w.attn_output) + bytes(w.ffn_norm) + bytes(w.ffn_gate) + bytes(w.ffn_up) +
             bytes(w.ffn_down);
  }
  return total;
}

result<segment_state> segment::open(std::uint32_t positions, std::size_t kv_bytes_max) const {
  OVIR_ASSIGN(kv_cache kv, kv_cache::make(config(), layers(), positions, kv_bytes_max));
  layer_range hashed = layers();
  if (is_last()) {
    --hashed.last; // the last layer's boundary is not part of the transcript
  }
  return segment_state{std::move(kv), unit_digests{hashed}};
}

result<void> segment::impl::check_input(const segment_state& state, const step_input& in) const {
  const model_config& c = weights.config;
  if (in.count == 0 || in.count > limits::prefill_chunk_max) {
    return fail(errc::malformed, "a step of {} positions; a step has 1 to {}", in.count,
                limits::prefill_chunk_max);
  }
  if (in.first != state.kv.length()) {
    return fail(errc::malformed, "a step at position {} for a segment that is at {}", in.first,
                state.kv.length());
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

result<void> segment::impl::load_input(const step_input& in, parallel_runner& runner) {
  const std::uint32_t dim = weights.config.dim;
  x.resize(std::max(x.size(), std::size_t{in.count} * dim));
  if (is_first()) {
    for_tokens(in.count, runner, [&](std::size_t t) {
      embed_row(weights.token_embedding, in.tokens[t], x.data() + t * dim);
    });
  } else {
    std::memcpy(x.data(), in.boundary.data(), in.boundary.size_bytes());
  }
  for (std::size_t i = 0; i < std::size_t{in.count} * dim; ++i) {
    if (!std::isfinite(x[i])) {
      return fail(errc::nonfinite, "a NaN or infinity entered layer {} at position {}",
                  layers.first, in.first + i / dim);
    }
  }
  return {};
}

result<void> segment::impl::logits(const step_input& in, parallel_runner& runner,
                                   step_output& out) {
  const model_config& c = weights.config;
  out.logits.resize(std::size_t{in.logit_rows} * c.vocabulary);
  if (in.logit_rows == 0) {
    return {};
  }
  const float* rows = x.data() + std::size_t{in.count - in.logit_rows} * c.dim;
  const auto* norm = reinterpret_cast<const float*>(weights.output_norm.data);
  const product_group head[] = {{&weights.output, out.logits.data()}};
  activations& a = scratch.hidden;
  a.reshape(in.logit_rows, c.dim, forms_of(head));
  std::vector<std::uint8_t>& ok = scratch.ok;
  ok.assign(in.logit_rows, 1);
  for_tokens(in.logit_rows, runner, [&](std::size_t t) {
    kernels->rms_norm(rows + t * c.dim, norm, c.dim, c.norm_epsilon, a.row(t));
    ok[t] = a.quantize(*kernels, t) ? 1 : 0;
  });
  multiply(*kernels, a, head, runner);
  const bool finite =
      std::all_of(ok.begin(), ok.end(), [](std::uint8_t o) { return o != 0; }) &&
      std::all_of(out.logits.begin(), out.logits.end(), [](float l) { return std::isfinite(l); });
  if (!finite) {
    return fail(errc::nonfinite, "a NaN or infinity arose in the logits of positions {} to {}",
                in.first + in.count - in.logit_rows, in.first + in.count - 1);
  }
  return {};
}

result<void> segment::forward(segment_state& state, const step_input& in, parallel_runner& runner,
                              step_output& out) {
  impl& s = *impl_;
  OVIR_TRY(s.check_input(state, in));
  out.boundary.clear();
  out.logits.clear();
  out.leaves.clear();
  OVIR_TRY(s.load_input(in, runner));
  s.rope.grow(in.first + in.count);
  const std::uint32_t dim = s.weights.config.dim;
  const std::span<float> x{s.x.data(), std::size_t{in.count} * dim};
  // Hash states advance only with the whole step, so that a failed one leaves no trace.
  unit_digests units = state.units;
  for (layer_index l = s.layers.first; l < s.layers.last; ++l) {
    const layer_step step{
        s.weights.config, s.weights.layers[l], l, *s.kernels, s.rope, state.kv, in.first, in.count,
        s.scratch};
    OVIR_TRY(step.run(x, runner));
    if (l + 1 < s.weights.config.layers) {
      units.add(l, in.first, in.count, x, dim, out.leaves);
    }
  }
  if (s.is_last()) {
    OVIR_TRY(s.logits(in, runner, out));
  } else {
    out.boundary.assign(x.begin(), x.end());
  }
  std::sort(out.leaves.begin(), out.leaves.end(),
            [](const unit_leaf& a, const unit_leaf& b) { return a.unit < b.unit; });
  state.units = std::move(units);
  state.kv.set_length(in.first + in.count);
  return {};
}

} // namespace ovir::compute
