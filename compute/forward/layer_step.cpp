#include "compute/forward/layer_step.hpp"

#include "compute/forward/lora_products.hpp"
#include "messages/check.hpp"
#include "messages/limits/experts.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <numeric>

namespace ovir::compute {

namespace {

const float* floats(const weight& w) { return reinterpret_cast<const float*>(w.data); }

} // namespace

error nonfinite_in(std::string_view where, layer_index layer, position p) {
  return fail(errc::nonfinite,
              "a NaN, an infinity or a value beyond fp16 arose {} of layer {} "
              "at position {}",
              where, layer, p);
}

// A session fails as a whole, and with what its first bad row says.
bool layer_step::check(std::string_view where) const {
  bool any = false;
  for (session_rows& s : sessions) {
    const auto begin = scratch.ok.begin() + s.row;
    const auto end = begin + s.count;
    const auto bad = std::find(begin, end, std::uint8_t{0});
    if (!s.failed && bad != end) {
      s.failed = nonfinite_in(where, layer, s.first + static_cast<position>(bad - begin));
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

bool layer_step::store_row(std::size_t row) const {
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

std::array<product_group, 3> layer_step::queries_keys_values() const {
  const std::size_t n = rows;
  return {{
      {&weights.attn_q, grown(scratch.q, n * config.q_dim())},
      {&weights.attn_k, grown(scratch.k, 2 * n * config.kv_dim()),
       key_terms(form_for(weights.attn_k.type))},
      {&weights.attn_v, grown(scratch.v, 2 * n * config.kv_dim()),
       value_terms(form_for(weights.attn_v.type))},
  }};
}

bool layer_step::read_attention(std::span<float> x, parallel_runner& runner) const {
  scratch.hidden.reshape(rows, config.dim, forms_of(queries_keys_values()));
  for_tokens(rows, runner, [&](std::size_t t) {
    const std::size_t session = scratch.session_of[t];
    if (with_input != nullptr && t == sessions[session].row) {
      (*with_input)(session);
    }
    if (scratch.ok[t] != 0) {
      read_block_input(x.data(), weights.attn_norm, t);
    }
    quantize(scratch.hidden, t);
  });
  return check("in the attention input");
}

void layer_step::multiply_attention(parallel_runner& runner) const {
  multiply(kernels, scratch.hidden, queries_keys_values(), runner);
  const adapted_product adapted[] = {
      {at_q, scratch.q.data()}, {at_k, scratch.k.data()}, {at_v, scratch.v.data()}};
  add_pairs(kernels, sessions, layer, scratch.hidden, adapted, scratch.lora, runner);
}

void layer_step::store_keys_and_values(parallel_runner& runner) const {
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = store_row(t) ? 1 : 0;
    }
  });
}

bool layer_step::attention(std::span<float> x, parallel_runner& runner) const {
  const std::size_t n = rows;
  if (!read_attention(x, runner)) {
    return false;
  }
  multiply_attention(runner);
  store_keys_and_values(runner);
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
  const adapted_product adapted[] = {{at_output, scratch.residual.data()}};
  add_pairs(kernels, sessions, layer, scratch.heads, adapted, scratch.lora, runner);
  return true;
}

std::array<product_group, 2> layer_step::gate_and_up() const {
  const std::size_t n = rows;
  return {{
      {&weights.ffn_gate, grown(scratch.gate, n * config.ffn_dim)},
      {&weights.ffn_up, grown(scratch.up, n * config.ffn_dim)},
  }};
}

bool layer_step::read_feed_forward(std::span<float> x, parallel_runner& runner) const {
  scratch.hidden.reshape(rows, config.dim, forms_of(gate_and_up()));
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.attn_post_norm, t) ? 1 : 0;
      read_block_input(x.data(), weights.ffn_norm, t);
    }
    quantize(scratch.hidden, t);
  });
  return check("in the feed-forward input");
}

void layer_step::multiply_feed_forward(parallel_runner& runner) const {
  const auto gate_columns = [&](std::uint32_t from, std::uint32_t to) {
    for (std::size_t t = 0; t < rows; ++t) {
      if (scratch.ok[t] != 0) {
        const std::size_t at = t * config.ffn_dim + from;
        gated(kernels, config.gate, scratch.gate.data() + at, scratch.up.data() + at, to - from,
              scratch.inner.row(t) + from);
      }
    }
  };
  const auto both = gate_and_up();
  const adapted_product adapted[] = {{at_gate, both[0].output}, {at_up, both[1].output}};
  if (!adapts(sessions, layer, adapted)) {
    return multiply_alike(kernels, scratch.hidden, both, runner, std::cref(gate_columns));
  }
  // Columns are gated once what the pairs add is there.
  multiply(kernels, scratch.hidden, both, runner);
  add_pairs(kernels, sessions, layer, scratch.hidden, adapted, scratch.lora, runner);
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      const std::size_t at = t * config.ffn_dim;
      gated(kernels, config.gate, scratch.gate.data() + at, scratch.up.data() + at, config.ffn_dim,
            scratch.inner.row(t));
    }
  });
}

bool layer_step::finish(std::span<float> x, parallel_runner& runner) const {
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.ffn_post_norm, t) ? 1 : 0;
    }
  });
  return check("at the end");
}

bool layer_step::feed_forward(std::span<float> x, parallel_runner& runner) const {
  if (!read_feed_forward(x, runner)) {
    return false;
  }
  const product_group down[] = {{&weights.ffn_down, scratch.residual.data()}};
  scratch.inner.reshape(rows, config.ffn_dim, forms_of(down));
  multiply_feed_forward(runner);
  for_tokens(rows, runner, [&](std::size_t t) { quantize(scratch.inner, t); });
  if (!check("in the feed-forward block")) {
    return false;
  }
  multiply(kernels, scratch.inner, down, runner);
  const adapted_product adapted[] = {{at_down, scratch.residual.data()}};
  add_pairs(kernels, sessions, layer, scratch.inner, adapted, scratch.lora, runner);
  return finish(x, runner);
}

// Mixtures of experts. Each row goes through those that the router chooses for it. Rows of one
// expert are computed together, and each row's sum has its own fixed order, so no bit depends on
// which rows share a pass.

// Chooses experts for every row that goes on, and gives each choice a seat.
bool layer_step::route(parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t used = config.experts_used;
  grown(s.chosen, std::size_t{rows} * used);
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      const bool chosen = choose_experts({s.logits.data() + t * config.experts, config.experts},
                                         config.shares_of_all, {s.chosen.data() + t * used, used});
      scratch.ok[t] = chosen ? 1 : 0;
    }
  });
  if (!check("in the router")) {
    return false;
  }
  s.first_seat.assign(config.experts + 1, 0);
  for (std::size_t i = 0; i < std::size_t{rows} * used; ++i) {
    s.first_seat[s.chosen[i].expert + 1] += scratch.ok[i / used];
  }
  std::partial_sum(s.first_seat.begin(), s.first_seat.end(), s.first_seat.begin());
  grown(s.row_of, s.first_seat.back());
  grown(s.seat_of, std::size_t{rows} * used);
  for (std::size_t i = 0; i < std::size_t{rows} * used; ++i) {
    if (scratch.ok[i / used] != 0) {
      s.seat_of[i] = s.first_seat[s.chosen[i].expert]++;
      s.row_of[s.seat_of[i]] = static_cast<std::uint32_t>(i / used);
    }
  }
  // Each entry has become the one behind it.
  std::copy_backward(s.first_seat.begin(), s.first_seat.end() - 1, s.first_seat.end());
  s.first_seat[0] = 0;
  return true;
}

std::size_t layer_step::seat_experts(std::uint32_t first, std::uint32_t last) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t begin = s.first_seat[first];
  std::vector<seated_expert>& group = s.group;
  group.clear();
  for (std::uint32_t e = first; e < last; ++e) {
    if (const std::uint32_t n = s.first_seat[e + 1] - s.first_seat[e]; n > 0) {
      group.push_back({e, s.first_seat[e] - begin, n});
    }
  }
  // Memory of a place only grows, so experts with many rows always take the same places.
  std::sort(group.begin(), group.end(), [](const seated_expert& a, const seated_expert& b) {
    return a.rows != b.rows ? a.rows > b.rows : a.expert < b.expert;
  });
  return s.first_seat[last] - begin;
}

// Who is in the group of experts [first, last), their inputs, and the products with these.
void layer_step::gather_experts(std::uint32_t first, std::uint32_t last,
                                parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t begin = s.first_seat[first];
  const std::size_t seats = seat_experts(first, last);
  const std::vector<seated_expert>& group = s.group;
  grown(s.inputs, group.size());
  grown(s.inner, group.size());
  grown(s.gate, seats * config.expert_ffn_dim);
  grown(s.up, seats * config.expert_ffn_dim);
  grown(s.output, seats * config.dim);
  const expert_weights& one = weights.experts.front();
  const product_group read[] = {{&one.gate, nullptr}, {&one.up, nullptr}};
  const product_group inner_read[] = {{&one.down, nullptr}};
  const auto input_of = [&](std::size_t i) {
    return group[i].rows == rows ? &scratch.hidden : &s.inputs[i];
  };
  for_tokens(group.size(), runner, [&](std::size_t i) {
    if (input_of(i) == &s.inputs[i]) {
      s.inputs[i].gather(scratch.hidden, {&s.row_of[begin + group[i].first], group[i].rows},
                         forms_of(read));
    }
    s.inner[i].reshape(group[i].rows, config.expert_ffn_dim, forms_of(inner_read));
  });
  s.products.clear();
  for (std::size_t i = 0; i < group.size(); ++i) {
    const expert_weights& expert = weights.experts[group[i].expert];
    const std::size_t at = std::size_t{group[i].first} * config.expert_ffn_dim;
    s.products.push_back({input_of(i), &expert.gate, s.gate.data() + at});
    s.products.push_back({input_of(i), &expert.up, s.up.data() + at});
  }
}

// What goes into the second matrix of the group's experts.
void layer_step::gate_experts(std::size_t seats, parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::vector<seated_expert>& group = s.group;
  s.ok.assign(seats, 1);
  for_tokens(group.size(), runner, [&](std::size_t i) {
    for (std::size_t r = 0; r < group[i].rows; ++r) {
      const std::size_t seat = group[i].first + r;
      gated(kernels, config.gate, s.gate.data() + seat * config.expert_ffn_dim,
            s.up.data() + seat * config.expert_ffn_dim, config.expert_ffn_dim, s.inner[i].row(r));
      if (!s.inner[i].quantize(kernels, r)) {
        s.ok[seat] = 0;
        std::fill_n(s.inner[i].row(r), config.expert_ffn_dim, 0.0F);
        OVIR_CHECK(s.inner[i].quantize(kernels, r));
      }
    }
  });
}

// Experts [first, last) for the rows that chose them, added to the residual.
bool layer_step::run_experts(std::uint32_t first, std::uint32_t last,
                             parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t begin = s.first_seat[first];
  const std::size_t seats = s.first_seat[last] - begin;
  gather_experts(first, last, runner);
  multiply_each(kernels, s.products, runner);
  gate_experts(seats, runner);
  for (std::size_t seat = 0; seat < seats; ++seat) {
    scratch.ok[s.row_of[begin + seat]] &= s.ok[seat];
  }
  if (!check("in an expert")) {
    return false;
  }
  s.products.clear();
  for (std::size_t i = 0; i < s.group.size(); ++i) {
    s.products.push_back({&s.inner[i], &weights.experts[s.group[i].expert].down,
                          s.output.data() + std::size_t{s.group[i].first} * config.dim});
  }
  multiply_each(kernels, s.products, runner);
  for_tokens(rows, runner, [&](std::size_t t) {
    for (std::size_t i = t * config.experts_used;
         scratch.ok[t] != 0 && i < (t + 1) * config.experts_used; ++i) {
      if (s.chosen[i].expert >= first && s.chosen[i].expert < last) {
        add_share(scratch.residual.data() + t * config.dim,
                  s.output.data() + std::size_t{s.seat_of[i] - begin} * config.dim, config.dim,
                  s.chosen[i].share);
      }
    }
  });
  return true;
}

bool layer_step::shared_expert(parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const product_group down[] = {
      {&weights.ffn_shared_down, grown(s.shared, std::size_t{rows} * config.dim)}};
  scratch.inner.reshape(rows, config.shared_ffn_dim, forms_of(down));
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      gated(kernels, config.gate, scratch.gate.data() + t * config.shared_ffn_dim,
            scratch.up.data() + t * config.shared_ffn_dim, config.shared_ffn_dim,
            scratch.inner.row(t));
    }
    quantize(scratch.inner, t);
  });
  if (!check("in the shared expert")) {
    return false;
  }
  multiply(kernels, scratch.inner, down, runner);
  for_tokens(rows, runner, [&](std::size_t t) {
    add_share(scratch.residual.data() + t * config.dim, s.shared.data() + t * config.dim,
              config.dim, share_of(s.shared_logit[t]));
  });
  return true;
}

bool layer_step::read_mixture(std::span<float> x, parallel_runner& runner) const {
  const std::size_t n = rows;
  expert_scratch& s = scratch.experts;
  const expert_weights& one = weights.experts.front();
  // The last two are computed later, from the same input.
  const product_group all[] = {
      {&weights.ffn_router, grown(s.logits, n * config.experts)},
      {&weights.ffn_share, grown(s.shared_logit, n)},
      {&weights.ffn_shared_gate, grown(scratch.gate, n * config.shared_ffn_dim)},
      {&weights.ffn_shared_up, grown(scratch.up, n * config.shared_ffn_dim)},
      {&one.gate, nullptr},
      {&one.up, nullptr},
  };
  std::array<product_group, std::size(all)> there{};
  const auto end = std::copy_if(std::begin(all), std::end(all), there.begin(),
                                [](const product_group& g) { return !g.matrix->empty(); });
  const std::span<const product_group> present{there.begin(), end};
  scratch.hidden.reshape(rows, config.dim, forms_of(present));
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
  multiply(kernels, scratch.hidden, present.first(present.size() - 2), runner);
  return route(runner);
}

bool layer_step::each_expert_group(
    const std::function<bool(std::uint32_t, std::uint32_t)>& some) const {
  const expert_scratch& s = scratch.experts;
  const std::uint32_t together = std::max(rows, limits::expert_group_rows);
  for (std::uint32_t first = 0; first < config.experts;) {
    std::uint32_t last = first + 1;
    while (last < config.experts && s.first_seat[last + 1] - s.first_seat[first] <= together) {
      ++last;
    }
    if (s.first_seat[last] != s.first_seat[first] && !some(first, last)) {
      return false;
    }
    first = last;
  }
  return true;
}

bool layer_step::mixture(std::span<float> x, parallel_runner& runner) const {
  if (!read_mixture(x, runner)) {
    return false;
  }
  std::fill_n(scratch.residual.begin(), std::size_t{rows} * config.dim, 0.0F);
  const auto some = [&](std::uint32_t first, std::uint32_t last) {
    return run_experts(first, last, runner);
  };
  if (!each_expert_group(std::cref(some)) ||
      (!weights.ffn_share.empty() && !shared_expert(runner))) {
    return false;
  }
  return finish(x, runner);
}

bool layer_step::run(std::span<float> x, parallel_runner& runner) const {
  OVIR_CHECK(x.size() == std::size_t{rows} * config.dim);
  return attention(x, runner) &&
         (weights.experts.empty() ? feed_forward(x, runner) : mixture(x, runner));
}

} // namespace ovir::compute
