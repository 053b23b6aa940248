#include "learning/gradient/layer_forward.hpp"

#include "compute/kernels/reference/block_operations.hpp"
#include "learning/gradient/workers.hpp"
#include "messages/check.hpp"

#include <algorithm>

namespace ovir::learning {

using compute::grown;
using compute::model_config;
using compute::product_group;
using compute::weight;

namespace {

/// Rows that a thread takes at a time.
constexpr std::size_t row_grain = 16;

const float* floats(const weight& w) { return reinterpret_cast<const float*>(w.data); }

void norm_heads(const compute::kernel_set& kernels, const weight& norm, float epsilon, float* x,
                std::uint32_t n) {
  for (std::uint32_t at = 0; !norm.empty() && at < n; at += norm.cols) {
    kernels.rms_norm(x + at, floats(norm), norm.cols, epsilon, x + at);
  }
}

} // namespace

// What is not finite becomes zeros: the pass goes on to its end, and its error is told there.
void layer_forward::quantize(const call& c, compute::activations& a, std::size_t row) const {
  if (!a.quantize(*frozen_.kernels, row)) {
    c.ok.store(false, std::memory_order_relaxed);
    std::fill_n(a.row(row), a.cols(), 0.0F);
    OVIR_CHECK(a.quantize(*frozen_.kernels, row));
  }
}

// y = fma(alpha / rank, B (A x), y).
void layer_forward::add_pair(const call& c, target_place place, const float* input,
                             std::uint32_t cols, float* y, std::uint32_t out) {
  if (c.layer >= adapter_.numbers.size() || adapter_.numbers[c.layer][place].empty()) {
    return;
  }
  const lora_pair& pair = adapter_.numbers[c.layer][place];
  const std::uint32_t rank = adapter_.rank;
  const weight a{
      .rows = rank, .cols = cols, .data = reinterpret_cast<const std::byte*>(pair.a.data())};
  const weight b{
      .rows = out, .cols = rank, .data = reinterpret_cast<const std::byte*>(pair.b.data())};
  float* const added = grown(pair_, c.rows * out);
  float* const low = c.tape.low[place].data();
  over_stretches(c.rows, row_grain, c.runner, [&](std::size_t first, std::size_t last) {
    const auto n = static_cast<std::uint32_t>(last - first);
    frozen_.kernels->product_float(a, 0, rank, input + first * cols, cols, n, low + first * rank,
                                   rank);
    frozen_.kernels->product_float(b, 0, out, low + first * rank, rank, n, added + first * out,
                                   out);
    frozen_.learn->add_scaled(y + first * out, added + first * out, adapter_.scale(), n * out);
  });
}

// Biases and norms of queries and keys, as far as the model has them, and the rotation.
void layer_forward::finish_row(const call& c, std::size_t row, position p) {
  const model_config& m = frozen_.config();
  const compute::kernel_set& kernels = *frozen_.kernels;
  const compute::layer_weights& w = weights(c);
  float* const q = c.tape.q.data() + row * m.q_dim();
  float* const k = k_.data() + row * m.kv_dim();
  float* const v = v_.data() + row * m.kv_dim();
  bool ok = true;
  if (!w.attn_q_bias.empty()) {
    ok = kernels.add(q, floats(w.attn_q_bias), m.q_dim());
    ok = kernels.add(k, floats(w.attn_k_bias), m.kv_dim()) && ok;
    ok = kernels.add(v, floats(w.attn_v_bias), m.kv_dim()) && ok;
  }
  if (!w.attn_q_norm.empty()) {
    std::copy_n(q, m.q_dim(), c.tape.q_plain.data() + row * m.q_dim());
    std::copy_n(k, m.kv_dim(), c.tape.k_plain.data() + row * m.kv_dim());
    norm_heads(kernels, w.attn_q_norm, m.norm_epsilon, q, m.q_dim());
    norm_heads(kernels, w.attn_k_norm, m.norm_epsilon, k, m.kv_dim());
  }
  if (m.kind_of(c.layer).rotated) {
    const float* const turns = frozen_.rope.row(p);
    for (std::uint32_t h = 0; h < m.heads; ++h) {
      rotate(kernels, m.rotary, q + std::size_t{h} * m.head_dim, turns, m.rope_dim / 2);
    }
    for (std::uint32_t h = 0; h < m.kv_heads; ++h) {
      rotate(kernels, m.rotary, k + std::size_t{h} * m.head_dim, turns, m.rope_dim / 2);
    }
  }
  ok = kernels.to_half(k, m.kv_dim(), c.tape.k.data() + row * m.kv_dim()) && ok;
  ok = kernels.to_half(v, m.kv_dim(), c.tape.v.data() + row * m.kv_dim()) && ok;
  if (!ok) {
    c.ok.store(false, std::memory_order_relaxed);
  }
}

void layer_forward::attend(const call& c) {
  const model_config& m = frozen_.config();
  const std::uint32_t together = m.heads / m.kv_heads;
  const std::uint32_t window = m.kind_of(c.layer).window;
  std::uint32_t longest = 0;
  for (const sequence& s : c.sequences) {
    longest = std::max(longest, s.count);
  }
  const std::size_t part_scores = std::size_t{longest} * together;
  float* const scores = grown(scores_, parts_of(c.rows, c.runner) * part_scores);
  over_tasks(c.rows, c.runner, [&](std::size_t part, std::size_t row) {
    const sequence& s = c.sequences[sequence_of_[row]];
    const auto p = static_cast<position>(row - s.first);
    for (std::uint32_t h = 0; h < m.kv_heads; ++h) {
      const std::size_t kv = std::size_t{s.first} * m.kv_dim() + std::size_t{h} * m.head_dim;
      const std::size_t at = row * m.q_dim() + std::size_t{h} * together * m.head_dim;
      frozen_.kernels->attend({.query = c.tape.q.data() + at,
                               .keys = c.tape.k.data() + kv,
                               .values = c.tape.v.data() + kv,
                               .stride = m.kv_dim(),
                               .positions = p + 1,
                               .first = window != 0 && p >= window ? p + 1 - window : 0,
                               .head_dim = m.head_dim,
                               .heads = together,
                               .scale = m.attention_scale,
                               .scores = scores + part * part_scores,
                               .output = heads_.row(row) + (at - row * m.q_dim())});
    }
  });
}

void layer_forward::attention(const call& c) {
  const model_config& m = frozen_.config();
  const compute::layer_weights& w = weights(c);
  const product_group qkv[] = {
      {&w.attn_q, c.tape.q.data()},
      {&w.attn_k, grown(k_, 2 * c.rows * m.kv_dim()),
       compute::key_terms(compute::form_for(w.attn_k.type))},
      {&w.attn_v, grown(v_, 2 * c.rows * m.kv_dim()),
       compute::value_terms(compute::form_for(w.attn_v.type))},
  };
  const auto rows = static_cast<std::uint32_t>(c.rows);
  hidden_.reshape(rows, m.dim, compute::forms_of(qkv));
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    std::copy_n(c.x + row * m.dim, m.dim, c.tape.x.data() + row * m.dim);
    frozen_.kernels->rms_norm(c.x + row * m.dim, floats(w.attn_norm), m.dim, m.norm_epsilon,
                              hidden_.row(row));
    quantize(c, hidden_, row);
    std::copy_n(hidden_.row(row), m.dim, c.tape.attention.data() + row * m.dim);
  });
  compute::multiply(*frozen_.kernels, hidden_, qkv, c.runner);
  add_pair(c, at_q, c.tape.attention.data(), m.dim, c.tape.q.data(), m.q_dim());
  add_pair(c, at_k, c.tape.attention.data(), m.dim, k_.data(), m.kv_dim());
  add_pair(c, at_v, c.tape.attention.data(), m.dim, v_.data(), m.kv_dim());
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    const std::size_t first = c.sequences[sequence_of_[row]].first;
    finish_row(c, row, static_cast<position>(row - first));
  });
  const product_group out[] = {{&w.attn_output, grown(residual_, c.rows * m.dim)}};
  heads_.reshape(rows, m.q_dim(), compute::forms_of(out));
  attend(c);
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    quantize(c, heads_, row);
    std::copy_n(heads_.row(row), m.q_dim(), c.tape.heads.data() + row * m.q_dim());
  });
  compute::multiply(*frozen_.kernels, heads_, out, c.runner);
  add_pair(c, at_output, c.tape.heads.data(), m.q_dim(), residual_.data(), m.dim);
}

void layer_forward::feed_forward(const call& c) {
  const model_config& m = frozen_.config();
  const compute::layer_weights& w = weights(c);
  const product_group gate_up[] = {{&w.ffn_gate, c.tape.gate.data()},
                                   {&w.ffn_up, c.tape.up.data()}};
  const product_group down[] = {{&w.ffn_down, residual_.data()}};
  const auto rows = static_cast<std::uint32_t>(c.rows);
  const auto add_residual = [&](std::size_t row) {
    if (!frozen_.kernels->add(c.x + row * m.dim, residual_.data() + row * m.dim, m.dim)) {
      c.ok.store(false, std::memory_order_relaxed);
    }
  };
  hidden_.reshape(rows, m.dim, compute::forms_of(gate_up));
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    add_residual(row);
    std::copy_n(c.x + row * m.dim, m.dim, c.tape.middle.data() + row * m.dim);
    frozen_.kernels->rms_norm(c.x + row * m.dim, floats(w.ffn_norm), m.dim, m.norm_epsilon,
                              hidden_.row(row));
    quantize(c, hidden_, row);
    std::copy_n(hidden_.row(row), m.dim, c.tape.forward.data() + row * m.dim);
  });
  compute::multiply(*frozen_.kernels, hidden_, gate_up, c.runner);
  add_pair(c, at_gate, c.tape.forward.data(), m.dim, c.tape.gate.data(), m.ffn_dim);
  add_pair(c, at_up, c.tape.forward.data(), m.dim, c.tape.up.data(), m.ffn_dim);
  inner_.reshape(rows, m.ffn_dim, compute::forms_of(down));
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    const std::size_t at = row * m.ffn_dim;
    frozen_.kernels->swiglu(c.tape.gate.data() + at, c.tape.up.data() + at, m.ffn_dim,
                            inner_.row(row));
    quantize(c, inner_, row);
    std::copy_n(inner_.row(row), m.ffn_dim, c.tape.inner.data() + at);
  });
  compute::multiply(*frozen_.kernels, inner_, down, c.runner);
  add_pair(c, at_down, c.tape.inner.data(), m.ffn_dim, residual_.data(), m.dim);
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) { add_residual(row); });
}

result<void> layer_forward::run(layer_index layer, std::span<const sequence> sequences, float* x,
                                std::size_t rows, layer_tape& tape,
                                compute::parallel_runner& runner) {
  std::atomic<bool> ok{true};
  tape.reshape(frozen_.config(), rows, adapter_.rank);
  grown(sequence_of_, rows);
  for (std::uint32_t i = 0; i < sequences.size(); ++i) {
    std::fill_n(sequence_of_.begin() + sequences[i].first, sequences[i].count, i);
  }
  const call c{layer, sequences, x, rows, tape, runner, ok};
  attention(c);
  feed_forward(c);
  if (!ok.load()) {
    return fail(errc::nonfinite,
                "a NaN, an infinity or a value beyond fp16 arose in layer {}; train with a lower "
                "rate",
                layer);
  }
  return {};
}

} // namespace ovir::learning
