#include "compute/forward/layer_step.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <functional>
#include <memory>

namespace ovir::compute {

namespace {

/// Rows are split in multiples of this, the height of a panel in the fast kernels.
constexpr std::uint32_t row_grain = 16;

/// Products of experts are cut into more parts than there are threads, so that a thread whose
/// processor others use leaves some of its share to the rest.
constexpr std::size_t parts_per_thread = 4;

/// Multiplications that are worth a run of their own: a few microseconds.
constexpr std::uint64_t run_products_min = std::uint64_t{1} << 16U;

const float* floats(const weight& w) { return reinterpret_cast<const float*>(w.data); }

} // namespace

form_set forms_of(std::span<const product_group> group) {
  form_set forms;
  for (const product_group& g : group) {
    const bool two = g.terms == input_terms::two;
    switch (form_for(g.matrix->type)) {
    case activation_form::floats: forms.floats = true; break;
    case activation_form::a32: (two ? forms.a32_two : forms.a32) = true; break;
    case activation_form::a256: (two ? forms.a256_two : forms.a256) = true; break;
    }
  }
  return forms;
}

void activations::grow_rows(std::size_t floats) {
  constexpr std::size_t line = 64;
  void* at = grown(floats_, floats + line / sizeof(float));
  std::size_t space = floats_.size() * sizeof(float);
  rows_ = static_cast<float*>(std::align(line, floats * sizeof(float), at, space));
}

void activations::reshape(std::uint32_t tokens, std::uint32_t cols, form_set forms) {
  tokens_ = tokens;
  cols_ = cols;
  forms_ = forms;
  grow_rows(std::size_t{tokens} * cols);
  if (forms.a32) {
    a32_.reshape(activation_form::a32, tokens, cols);
  }
  if (forms.a256) {
    a256_.reshape(activation_form::a256, tokens, cols);
  }
  if (forms.a32_two) {
    a32_two_.reshape(activation_form::a32, 2 * tokens, cols);
  }
  if (forms.a256_two) {
    a256_two_.reshape(activation_form::a256, 2 * tokens, cols);
  }
  if (forms.a32_two || forms.a256_two) {
    grown(remainders_, std::size_t{tokens} * cols);
  }
}

bool activations::quantize(const kernel_set& kernels, std::size_t token) {
  const auto t = static_cast<std::uint32_t>(token);
  bool ok = true;
  if (forms_.a32) {
    ok = kernels.quantize(row(token), a32_, t);
  }
  if (forms_.a256) {
    ok = kernels.quantize(row(token), a256_, t) && ok;
  }
  if (forms_.a32_two) {
    ok = quantize_in_two(kernels, row(token), &remainders_[token * cols_], a32_two_, t) && ok;
  }
  if (forms_.a256_two) {
    ok = quantize_in_two(kernels, row(token), &remainders_[token * cols_], a256_two_, t) && ok;
  }
  return ok;
}

namespace {

/// Copies row `row` of `from` to row `to` of `out`, which have the same form and length.
void copy_row(const quantized_batch& from, std::size_t row, quantized_batch& out, std::size_t to) {
  const std::size_t blocks = from.cols / 32;
  const std::size_t scales = from.cols / from.scale_block();
  std::copy_n(from.q_row(row), from.cols, &out.q[to * from.cols]);
  std::copy_n(from.k_row(row), scales, &out.k[to * scales]);
  std::copy_n(from.m_row(row), blocks, &out.m[to * blocks]);
  std::copy_n(from.sum_row(row), blocks, &out.sum[to * blocks]);
  out.u[to] = from.u[row];
}

/// Rows [from, to) of one product, in a series of its thread's.
void multiply_rows(const kernel_set& kernels, const single_product& p, std::uint32_t from,
                   std::uint32_t to, preparation& kept) {
  const activations& input = *p.input;
  const std::size_t stride = p.matrix->rows;
  switch (form_for(p.matrix->type)) {
  case activation_form::floats:
    kernels.product_float(*p.matrix, from, to, input.row(0), input.cols(), input.tokens(), p.output,
                          stride);
    break;
  case activation_form::a32:
    kernels.product(*p.matrix, from, to, input.a32(p.terms), p.output, stride, &kept);
    break;
  case activation_form::a256:
    kernels.product(*p.matrix, from, to, input.a256(p.terms), p.output, stride, &kept);
    break;
  }
  if (p.terms == input_terms::two) {
    add_second_terms(p.output, input.tokens(), stride, from, to);
  }
}

} // namespace

void activations::gather(const activations& from, std::span<const std::uint32_t> which,
                         form_set forms) {
  OVIR_CHECK(!forms.a32_two && !forms.a256_two); // experts take one term
  tokens_ = static_cast<std::uint32_t>(which.size());
  cols_ = from.cols_;
  forms_ = forms;
  if (forms.floats) {
    grow_rows(which.size() * cols_);
  }
  if (forms.a32) {
    a32_.reshape(activation_form::a32, tokens_, from.a32_.cols);
  }
  if (forms.a256) {
    a256_.reshape(activation_form::a256, tokens_, from.a256_.cols);
  }
  for (std::size_t i = 0; i < which.size(); ++i) {
    if (forms.floats) {
      std::copy_n(from.row(which[i]), cols_, row(i));
    }
    if (forms.a32) {
      copy_row(from.a32_, which[i], a32_, i);
    }
    if (forms.a256) {
      copy_row(from.a256_, which[i], a256_, i);
    }
  }
}

void multiply_each(const kernel_set& kernels, std::span<const single_product> products,
                   parallel_runner& runner) {
  const auto grains_of = [](const single_product& p) {
    return (std::size_t{p.matrix->rows} + row_grain - 1) / row_grain;
  };
  std::size_t cost = 0;
  std::size_t grains = 0;
  for (const single_product& p : products) {
    cost += grains_of(p) * p.input->tokens();
    grains += grains_of(p);
  }
  // A part is a run of grains, of one product or of several. Its bounds are multiples of a share of
  // the cost, so parts of products with more rows have fewer of their matrix's.
  const std::size_t parts =
      std::min(grains, runner.width() * (runner.width() == 1 ? 1 : parts_per_thread));
  const auto some_rows = [&](std::size_t part) {
    const std::size_t from = cost * part / parts;
    const std::size_t to = cost * (part + 1) / parts;
    std::size_t at = 0; ///< cost before the product
    preparation kept;
    for (const single_product& p : products) {
      const std::size_t tokens = p.input->tokens();
      const std::size_t all = grains_of(p) * tokens;
      // A grain belongs to the part in which it begins.
      const auto grain_at = [&](std::size_t bound) {
        return bound <= at ? 0 : std::min((bound - at + tokens - 1) / tokens, grains_of(p));
      };
      const std::size_t first = grain_at(from) * row_grain;
      const std::size_t last = std::min<std::size_t>(grain_at(to) * row_grain, p.matrix->rows);
      if (first < last) {
        multiply_rows(kernels, p, static_cast<std::uint32_t>(first),
                      static_cast<std::uint32_t>(last), kept);
      }
      at += all;
    }
  };
  runner.run(parts, std::cref(some_rows));
}

namespace {

/// Calls `rows_of(run, kept)` for all grains of products with one input.
template <class RowsOf>
void share_out(std::uint32_t grains, const activations& input, parallel_runner& runner,
               const RowsOf& rows_of) {
  const std::size_t parts = std::min<std::size_t>(runner.width(), grains);
  if (parts <= 1) {
    preparation kept;
    rows_of({0, grains}, kept);
    return;
  }
  const std::uint64_t of_grain = std::uint64_t{row_grain} * input.cols() * input.tokens();
  const auto least = static_cast<std::uint32_t>(run_products_min / of_grain + 1);
  grain_shares shares{grains, parts, least};
  const auto product_part = [&](std::size_t part) {
    preparation kept; // runs are many, and the last of them short
    for (grain_run run = shares.take(part); !run.empty(); run = shares.take(part)) {
      rows_of(run, kept);
    }
  };
  runner.run(parts, std::cref(product_part));
}

} // namespace

void multiply(const kernel_set& kernels, const activations& input,
              std::span<const product_group> group, parallel_runner& runner) {
  const auto grains_of = [](const product_group& g) {
    return (g.matrix->rows + row_grain - 1) / row_grain;
  };
  std::uint32_t grains = 0;
  for (const product_group& g : group) {
    grains += grains_of(g);
  }
  const auto rows_of = [&](grain_run run, preparation& kept) {
    for (const product_group& g : group) {
      const std::uint32_t own = grains_of(g);
      const std::uint32_t from = std::min(run.first, own) * row_grain;
      const std::uint32_t to = std::min(std::min(run.last, own) * row_grain, g.matrix->rows);
      if (from < to) {
        multiply_rows(kernels, {&input, g.matrix, g.output, g.terms}, from, to, kept);
      }
      run.first -= std::min(run.first, own);
      run.last -= std::min(run.last, own);
    }
  };
  share_out(grains, input, runner, rows_of);
}

void multiply_alike(const kernel_set& kernels, const activations& input,
                    std::span<const product_group> group, parallel_runner& runner,
                    const std::function<void(std::uint32_t, std::uint32_t)>& done) {
  const std::uint32_t rows = group.front().matrix->rows;
  if (input.tokens() == 1) {
    multiply(kernels, input, group, runner);
    done(0, rows);
    return;
  }
  const auto rows_of = [&](grain_run run, preparation& kept) {
    const std::uint32_t from = run.first * row_grain;
    const std::uint32_t to = std::min(run.last * row_grain, rows);
    for (const product_group& g : group) {
      multiply_rows(kernels, {&input, g.matrix, g.output, g.terms}, from, to, kept);
    }
    done(from, to);
  };
  share_out((rows + row_grain - 1) / row_grain, input, runner, rows_of);
}

// A session fails as a whole, and with what its first bad row says.
bool layer_step::check(const char* where) const {
  bool any = false;
  for (session_rows& s : sessions) {
    const auto begin = scratch.ok.begin() + s.row;
    const auto end = begin + s.count;
    const auto bad = std::find(begin, end, std::uint8_t{0});
    if (!s.failed && bad != end) {
      s.failed = fail(errc::nonfinite,
                      "a NaN, an infinity or a value beyond fp16 arose {} of layer {} "
                      "at position {}",
                      where, layer, s.first + (bad - begin));
      std::fill(begin, end, std::uint8_t{0});
    }
    any = any || !s.failed;
  }
  return any;
}

// Products take all rows, those of failed sessions too: these are zeros then, as good as any.
void layer_step::quantize(activations& a, std::size_t row) const {
  if (scratch.ok[row] != 0 && a.quantize(kernels, row)) {
    return;
  }
  scratch.ok[row] = 0;
  std::fill_n(a.row(row), a.cols(), 0.0F);
  OVIR_CHECK(a.quantize(kernels, row));
}

/// Norms one row of heads, each alone or all together, by the weight's length.
static void norm_heads(const kernel_set& kernels, const weight& norm, float epsilon, float* x,
                       std::uint32_t n) {
  for (std::uint32_t at = 0; !norm.empty() && at < n; at += norm.cols) {
    kernels.rms_norm(x + at, floats(norm), norm.cols, epsilon, x + at);
  }
}

// Biases and norms of queries, keys and values, as far as the model has them, and the rotation.
bool layer_step::finish_queries_and_keys(std::size_t row) const {
  float* const q = scratch.q.data() + row * config.q_dim();
  float* const k = scratch.k.data() + row * config.kv_dim();
  float* const v = scratch.v.data() + row * config.kv_dim();
  bool ok = true;
  if (!weights.attn_q_bias.empty()) {
    ok = kernels.add(q, floats(weights.attn_q_bias), config.q_dim());
    ok = kernels.add(k, floats(weights.attn_k_bias), config.kv_dim()) && ok;
    ok = kernels.add(v, floats(weights.attn_v_bias), config.kv_dim()) && ok;
  }
  norm_heads(kernels, weights.attn_q_norm, config.norm_epsilon, q, config.q_dim());
  norm_heads(kernels, weights.attn_k_norm, config.norm_epsilon, k, config.kv_dim());
  if (kind.rotated) {
    const session_rows& s = sessions[scratch.session_of[row]];
    const float* const cos_sin = rope.row(s.first + static_cast<position>(row - s.row));
    for (std::uint32_t h = 0; h < config.heads; ++h) {
      rotate(kernels, config.rotary, q + std::size_t{h} * config.head_dim, cos_sin,
             config.rope_dim / 2);
    }
    for (std::uint32_t h = 0; h < config.kv_heads; ++h) {
      rotate(kernels, config.rotary, k + std::size_t{h} * config.head_dim, cos_sin,
             config.rope_dim / 2);
    }
  }
  return ok;
}

bool layer_step::store_keys_and_values(std::size_t row) const {
  const session_rows& s = sessions[scratch.session_of[row]];
  const position p = s.first + static_cast<position>(row - s.row);
  bool ok = finish_queries_and_keys(row);
  for (std::uint32_t h = 0; h < config.kv_heads; ++h) {
    const std::size_t at = row * config.kv_dim() + std::size_t{h} * config.head_dim;
    const std::size_t to = std::size_t{p} * config.head_dim;
    ok = kernels.to_half(scratch.k.data() + at, config.head_dim, s.kv->keys(layer, h) + to) && ok;
    ok = kernels.to_half(scratch.v.data() + at, config.head_dim, s.kv->values(layer, h) + to) && ok;
  }
  return ok;
}

// What a block reads: the stream, normed where the model does that.
void layer_step::read_block_input(const float* x, const weight& norm, std::size_t row) const {
  const float* const from = x + row * config.dim;
  if (norm.empty()) {
    std::copy_n(from, config.dim, scratch.hidden.row(row));
  } else {
    kernels.rms_norm(from, floats(norm), config.dim, config.norm_epsilon, scratch.hidden.row(row));
  }
}

// Adds what a block put out to the stream, normed and scaled where the model does that.
bool layer_step::add_block_output(float* x, const weight& norm, std::size_t row) const {
  float* const out = scratch.residual.data() + row * config.dim;
  if (!norm.empty()) {
    kernels.rms_norm(out, floats(norm), config.dim, config.norm_epsilon, out);
  }
  scale_by(out, config.dim, config.residual_scale);
  return kernels.add(x + row * config.dim, out, config.dim);
}

void layer_step::attend(parallel_runner& runner) const {
  // Heads that share keys and values go together, as long as every thread has a task.
  std::uint32_t together = config.heads / config.kv_heads;
  while (together % 2 == 0 && std::size_t{rows} * (config.heads / together) < runner.width()) {
    together /= 2;
  }
  const std::size_t groups = config.heads / together;
  const std::size_t tasks = rows * groups;
  const std::size_t parts = std::min(runner.width(), tasks);
  std::size_t positions = 0;
  for (const session_rows& s : sessions) {
    positions = std::max(positions, std::size_t{s.first} + s.count);
  }
  const std::size_t part_scores = positions * together;
  float* scores = grown(scratch.scores, parts * part_scores);
  const std::uint32_t heads_per_kv = config.heads / config.kv_heads;
  const auto attend_row = [&](std::size_t part, std::size_t i) {
    const std::size_t row = i % rows;
    if (scratch.ok[row] == 0) {
      return;
    }
    const session_rows& s = sessions[scratch.session_of[row]];
    const auto head = static_cast<std::uint32_t>(i / rows) * together;
    const std::size_t at = std::size_t{head} * config.head_dim;
    const position last = s.first + static_cast<std::uint32_t>(row - s.row);
    kernels.attend({.query = scratch.q.data() + row * config.q_dim() + at,
                    .keys = s.kv->keys(layer, head / heads_per_kv),
                    .values = s.kv->values(layer, head / heads_per_kv),
                    .stride = config.head_dim,
                    .positions = last + 1,
                    .first = kind.window != 0 && last >= kind.window ? last + 1 - kind.window : 0,
                    .head_dim = config.head_dim,
                    .heads = together,
                    .scale = config.attention_scale,
                    .cap = config.attention_cap,
                    .scores = scores + part * part_scores,
                    .output = scratch.heads.row(row) + at});
  };
  grain_shares shares{static_cast<std::uint32_t>(tasks), parts};
  const auto attend_part = [&](std::size_t part) {
    // Few at a time, because later positions have more to look at and threads differ; rows of the
    // same keys and values behind each other, because these may still be in a cache.
    for (grain_run run = shares.take(part); !run.empty(); run = shares.take(part)) {
      for (std::size_t i = run.first; i < run.last; ++i) {
        attend_row(part, i);
      }
    }
  };
  runner.run(parts, std::cref(attend_part));
}

bool layer_step::attention(std::span<float> x, parallel_runner& runner) const {
  const std::size_t n = rows;
  const product_group qkv[] = {
      {&weights.attn_q, grown(scratch.q, n * config.q_dim())},
      {&weights.attn_k, grown(scratch.k, 2 * n * config.kv_dim()),
       key_terms(form_for(weights.attn_k.type))},
      {&weights.attn_v, grown(scratch.v, 2 * n * config.kv_dim()),
       value_terms(form_for(weights.attn_v.type))},
  };
  scratch.hidden.reshape(rows, config.dim, forms_of(qkv));
  for_tokens(n, runner, [&](std::size_t t) {
    const std::size_t session = scratch.session_of[t];
    if (with_input != nullptr && t == sessions[session].row) {
      (*with_input)(session);
    }
    if (scratch.ok[t] != 0) {
      read_block_input(x.data(), weights.attn_norm, t);
    }
    quantize(scratch.hidden, t);
  });
  if (!check("in the attention input")) {
    return false;
  }
  multiply(kernels, scratch.hidden, qkv, runner);
  for_tokens(n, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = store_keys_and_values(t) ? 1 : 0;
    }
  });
  if (!check("in a key or value")) {
    return false;
  }
  const product_group out[] = {{&weights.attn_output, grown(scratch.residual, n * config.dim)}};
  scratch.heads.reshape(rows, config.q_dim(), forms_of(out));
  attend(runner);
  for_tokens(n, runner, [&](std::size_t t) { quantize(scratch.heads, t); });
  if (!check("in the attention output")) {
    return false;
  }
  multiply(kernels, scratch.heads, out, runner);
  return true;
}

bool layer_step::feed_forward(std::span<float> x, parallel_runner& runner) const {
  const std::size_t n = rows;
  const product_group gate_up[] = {
      {&weights.ffn_gate, grown(scratch.gate, n * config.ffn_dim)},
      {&weights.ffn_up, grown(scratch.up, n * config.ffn_dim)},
  };
  const product_group down[] = {{&weights.ffn_down, scratch.residual.data()}};
  scratch.hidden.reshape(rows, config.dim, forms_of(gate_up));
  for_tokens(n, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.attn_post_norm, t) ? 1 : 0;
      read_block_input(x.data(), weights.ffn_norm, t);
    }
    quantize(scratch.hidden, t);
  });
  if (!check("in the feed-forward input")) {
    return false;
  }
  scratch.inner.reshape(rows, config.ffn_dim, forms_of(down));
  const auto gate_columns = [&](std::uint32_t from, std::uint32_t to) {
    for (std::size_t t = 0; t < n; ++t) {
      if (scratch.ok[t] != 0) {
        const std::size_t at = t * config.ffn_dim + from;
        gated(kernels, config.gate, scratch.gate.data() + at, scratch.up.data() + at, to - from,
              scratch.inner.row(t) + from);
      }
    }
  };
  multiply_alike(kernels, scratch.hidden, gate_up, runner, std::cref(gate_columns));
  for_tokens(n, runner, [&](std::size_t t) { quantize(scratch.inner, t); });
  if (!check("in the feed-forward block")) {
    return false;
  }
  multiply(kernels, scratch.inner, down, runner);
  for_tokens(n, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.ffn_post_norm, t) ? 1 : 0;
    }
  });
  return check("at the end");
}

bool layer_step::run(std::span<float> x, parallel_runner& runner) const {
  OVIR_CHECK(x.size() == std::size_t{rows} * config.dim);
  return attention(x, runner) &&
         (weights.experts.empty() ? feed_forward(x, runner) : mixture(x, runner));
}

} // namespace ovir::compute
