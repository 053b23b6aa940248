#include "learning/gradient/layer_backward.hpp"

#include "compute/forward/products.hpp"
#include "learning/gradient/workers.hpp"

#include <algorithm>

namespace ovir::learning {

using compute::grown;
using compute::model_config;
using compute::weight;

namespace {

const float* floats_of(const weight& w) { return reinterpret_cast<const float*>(w.data); }

/// `n` elements, all +0.
float* zeroed(std::vector<float>& v, std::size_t n) {
  float* const out = grown(v, n);
  std::fill_n(out, n, 0.0F);
  return out;
}

} // namespace

void layer_backward::product(const call& c, target_place place, const float* dy, const float* x,
                             float* dx) {
  const weight& w = frozen_.weights->layers[c.layer].*targets[place].member;
  const product_back p{&w, dy, x, c.tape.low[place].data(), dx};
  if (dx != nullptr) {
    weights_.add_frozen(p, c.rows, c.runner);
  }
  if (c.layer < adapter_.numbers.size() && !adapter_.numbers[c.layer][place].empty()) {
    weights_.add_pair(p, c.sequences, adapter_.numbers[c.layer][place], c.into[c.layer][place],
                      c.rows, c.runner);
  }
}

// dx += the gradient of the input x of a block's norm, whose output has the gradient `hidden_`.
void layer_backward::add_norm_back(const call& c, const float* x, const weight& norm) {
  const model_config& m = frozen_.config();
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    const std::size_t at = row * m.dim;
    float* const d = hidden_.data() + at;
    frozen_.learn->norm_back(x + at, floats_of(norm), d, m.dim, m.norm_epsilon, d);
    if (!frozen_.kernels->add(c.dx + at, d, m.dim)) {
      c.ok.store(false, std::memory_order_relaxed);
    }
  });
}

void layer_backward::feed_forward(const call& c) {
  const model_config& m = frozen_.config();
  const std::size_t inner = c.rows * m.ffn_dim;
  float* const gate = zeroed(gate_, inner);
  float* const up = grown(up_, inner);
  product(c, at_down, c.dx, c.tape.inner.data(), gate); // the gradient of the inner rows
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    const std::size_t at = row * m.ffn_dim;
    frozen_.learn->gate_back(c.tape.gate.data() + at, c.tape.up.data() + at, gate + at, m.ffn_dim,
                             gate + at, up + at);
  });
  float* const hidden = zeroed(hidden_, c.rows * m.dim);
  product(c, at_gate, gate, c.tape.forward.data(), hidden);
  product(c, at_up, up, c.tape.forward.data(), hidden);
  add_norm_back(c, c.tape.middle.data(), frozen_.weights->layers[c.layer].ffn_norm);
}

// Norms of queries and keys, head by head, where the model has them.
void layer_backward::norms_back(const call& c) {
  const model_config& m = frozen_.config();
  const compute::layer_weights& w = frozen_.weights->layers[c.layer];
  if (w.attn_q_norm.empty()) {
    return;
  }
  const auto back = [&](const weight& norm, const float* plain, float* d, std::uint32_t n) {
    for (std::uint32_t at = 0; at < n; at += norm.cols) {
      frozen_.learn->norm_back(plain + at, floats_of(norm), d + at, norm.cols, m.norm_epsilon,
                               d + at);
    }
  };
  over_tasks(c.rows, c.runner, [&](std::size_t, std::size_t row) {
    back(w.attn_q_norm, c.tape.q_plain.data() + row * m.q_dim(), q_.data() + row * m.q_dim(),
         m.q_dim());
    back(w.attn_k_norm, c.tape.k_plain.data() + row * m.kv_dim(), k_.data() + row * m.kv_dim(),
         m.kv_dim());
  });
}

void layer_backward::attention(const call& c) {
  const model_config& m = frozen_.config();
  float* const heads = zeroed(heads_, c.rows * m.q_dim());
  product(c, at_output, c.dx, c.tape.heads.data(), heads);
  const attention_gradients d{grown(q_, c.rows * m.q_dim()), grown(k_, c.rows * m.kv_dim()),
                              grown(v_, c.rows * m.kv_dim())};
  attention_.run(c.layer, c.sequences, c.tape, heads, d, c.runner);
  norms_back(c);
  float* const hidden = c.lowest ? nullptr : zeroed(hidden_, c.rows * m.dim);
  product(c, at_q, d.q, c.tape.attention.data(), hidden);
  product(c, at_k, d.k, c.tape.attention.data(), hidden);
  product(c, at_v, d.v, c.tape.attention.data(), hidden);
  if (hidden != nullptr) {
    add_norm_back(c, c.tape.x.data(), frozen_.weights->layers[c.layer].attn_norm);
  }
}

result<void> layer_backward::run(layer_index layer, std::span<const sequence> sequences,
                                 const layer_tape& tape, float* dx, std::size_t rows, bool lowest,
                                 lora_numbers& into, compute::parallel_runner& runner) {
  std::atomic<bool> ok{true};
  const call c{layer, sequences, tape, dx, rows, lowest, into, runner, ok};
  feed_forward(c);
  attention(c);
  if (!ok.load()) {
    return fail(errc::nonfinite,
                "a NaN or an infinity arose in the gradient of layer {}; train with a lower rate",
                layer);
  }
  return {};
}

} // namespace ovir::learning
