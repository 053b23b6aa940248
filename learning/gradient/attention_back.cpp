#include "learning/gradient/attention_back.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/forward/products.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "learning/gradient/workers.hpp"

#include <algorithm>
#include <limits>

namespace ovir::learning {

using compute::grown;
using compute::model_config;
using compute::weight;

namespace {

/// [positions][head_dim] of one head, exactly.
void widen(const std::uint16_t* from, std::size_t stride, std::uint32_t positions,
           std::uint32_t head_dim, float* out) {
  for (std::uint32_t p = 0; p < positions; ++p) {
    for (std::uint32_t i = 0; i < head_dim; ++i) {
      out[std::size_t{p} * head_dim + i] = compute::half_to_float(from[p * stride + i]);
    }
  }
}

} // namespace

// The transpose of a rotation is the rotation by the opposite angle.
void attention_back::turn_back(position p, std::uint32_t heads, float* x, part_scratch& s) const {
  const model_config& m = frozen_.config();
  const float* const turns = frozen_.rope.row(p);
  s.turns.resize(m.rope_dim);
  for (std::uint32_t i = 0; i < m.rope_dim; i += 2) {
    s.turns[i] = turns[i];
    s.turns[i + 1] = -turns[i + 1];
  }
  for (std::uint32_t h = 0; h < heads; ++h) {
    rotate(*frozen_.kernels, m.rotary, x + std::size_t{h} * m.head_dim, s.turns.data(),
           m.rope_dim / 2);
  }
}

// Queries [first, first + count) of one head: a chunk of the sums of dk and dv.
void attention_back::queries(const task& t, part_scratch& s, std::uint32_t head,
                             std::uint32_t first, std::uint32_t count) const {
  const model_config& m = frozen_.config();
  const std::uint32_t dim = m.head_dim;
  const std::uint32_t seen = first + count;
  const std::size_t at = (std::size_t{t.rows.first} + first) * m.q_dim() + std::size_t{head} * dim;
  const float* const q = t.tape.q.data() + at;
  const float* const d = t.d + at;
  float* const w = grown(s.weights, std::size_t{chunk_terms} * seen);
  float* const ds = grown(s.scores, std::size_t{chunk_terms} * seen);
  const weight keys{
      .rows = seen, .cols = dim, .data = reinterpret_cast<const std::byte*>(s.k.data())};
  const weight values{
      .rows = seen, .cols = dim, .data = reinterpret_cast<const std::byte*>(s.v.data())};
  frozen_.kernels->product_float(keys, 0, seen, q, m.q_dim(), count, w, seen);
  frozen_.kernels->product_float(values, 0, seen, d, m.q_dim(), count, ds, seen);
  for (std::uint32_t i = 0; i < count; ++i) {
    float* const row = w + std::size_t{i} * seen;
    const std::uint32_t p = first + i;
    const std::uint32_t hidden = t.window != 0 && p >= t.window ? p + 1 - t.window : 0;
    std::fill_n(row, hidden, -std::numeric_limits<float>::infinity());
    std::fill(row + p + 1, row + seen, -std::numeric_limits<float>::infinity());
    static_cast<void>(frozen_.learn->softmax(row, seen, m.attention_scale));
    frozen_.learn->softmax_back(row, ds + std::size_t{i} * seen, seen, m.attention_scale);
  }
  chunk_product into{.a = w,
                     .a_row = 1,
                     .a_term = seen,
                     .b = d,
                     .b_row = m.q_dim(),
                     .out = s.dv.data(),
                     .out_row = dim,
                     .rows = seen,
                     .terms = count,
                     .cols = dim};
  frozen_.learn->add_chunk(into);
  into.a = ds;
  into.b = q;
  into.out = s.dk.data();
  frozen_.learn->add_chunk(into);
  for (std::uint32_t p = 0; p < seen; p += chunk_terms) {
    frozen_.learn->add_chunk({.a = ds + p,
                              .a_row = seen,
                              .b = s.k.data() + std::size_t{p} * dim,
                              .b_row = dim,
                              .out = t.out.q + at,
                              .out_row = m.q_dim(),
                              .rows = count,
                              .terms = std::min(chunk_terms, seen - p),
                              .cols = dim});
  }
}

// All query heads of an example that share keys and values.
void attention_back::head_pair(const task& t, part_scratch& s) const {
  const model_config& m = frozen_.config();
  const std::uint32_t dim = m.head_dim;
  const std::uint32_t n = t.rows.count;
  const std::size_t size = std::size_t{n} * dim;
  const std::size_t kv = std::size_t{t.rows.first} * m.kv_dim() + std::size_t{t.kv_head} * dim;
  widen(t.tape.k.data() + kv, m.kv_dim(), n, dim, grown(s.k, size));
  widen(t.tape.v.data() + kv, m.kv_dim(), n, dim, grown(s.v, size));
  std::fill_n(grown(s.dk, size), size, 0.0F);
  std::fill_n(grown(s.dv, size), size, 0.0F);
  const std::uint32_t together = m.heads / m.kv_heads;
  for (std::uint32_t h = t.kv_head * together; h < (t.kv_head + 1) * together; ++h) {
    for (std::uint32_t p = 0; p < n; ++p) {
      std::fill_n(t.out.q + (std::size_t{t.rows.first} + p) * m.q_dim() + std::size_t{h} * dim, dim,
                  0.0F);
    }
    for (std::uint32_t first = 0; first < n; first += chunk_terms) {
      queries(t, s, h, first, std::min(chunk_terms, n - first));
    }
  }
  for (std::uint32_t p = 0; p < n; ++p) {
    std::copy_n(s.dk.data() + std::size_t{p} * dim, dim, t.out.k + kv + p * m.kv_dim());
    std::copy_n(s.dv.data() + std::size_t{p} * dim, dim, t.out.v + kv + p * m.kv_dim());
  }
}

void attention_back::run(layer_index layer, std::span<const sequence> sequences,
                         const layer_tape& tape, const float* d, const attention_gradients& out,
                         compute::parallel_runner& runner) {
  const model_config& m = frozen_.config();
  const compute::layer_kind kind = m.kind_of(layer);
  const std::size_t tasks = sequences.size() * m.kv_heads;
  parts_.resize(std::max(parts_.size(), runner.width()));
  over_tasks(tasks, runner, [&](std::size_t part, std::size_t i) {
    head_pair({sequences[i / m.kv_heads], static_cast<std::uint32_t>(i % m.kv_heads), kind.window,
               tape, d, out},
              parts_[part]);
  });
  if (!kind.rotated) {
    return;
  }
  for (const sequence& s : sequences) {
    over_tasks(s.count, runner, [&](std::size_t part, std::size_t p) {
      const std::size_t row = s.first + p;
      turn_back(static_cast<position>(p), m.heads, out.q + row * m.q_dim(), parts_[part]);
      turn_back(static_cast<position>(p), m.kv_heads, out.k + row * m.kv_dim(), parts_[part]);
    });
  }
}

} // namespace ovir::learning
