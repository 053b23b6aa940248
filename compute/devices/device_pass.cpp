#include "compute/devices/device_pass.hpp"

#include "compute/forward/layer_step.hpp"
#include "compute/kernels/two_terms.hpp"
#include "messages/check.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>

namespace ovir::compute {

namespace {

static_assert(layer_places.size() <= places_of_layer);
static_assert(limits::layers_max < no_device_failure / places_of_layer);
static_assert(limits::device_rows_max >= limits::window_positions);

constexpr std::uint32_t in_attention_input = 0;
constexpr std::uint32_t in_key_or_value = 1;
constexpr std::uint32_t in_attention_output = 2;
constexpr std::uint32_t in_feed_forward_input = 3;
constexpr std::uint32_t in_feed_forward = 4;
constexpr std::uint32_t at_the_end = 5;

/// How many of `wanted` rows from `from` on can be taken without cutting a digested window.
std::uint32_t uncut(const engine_session& s, std::uint32_t from, std::uint32_t wanted) {
  const std::uint32_t end = from + wanted;
  const std::uint32_t last = s.lead + s.windows * limits::window_positions;
  if (end <= s.lead || end >= last) {
    return wanted;
  }
  const std::uint32_t whole =
      s.lead + (end - s.lead) / limits::window_positions * limits::window_positions;
  return whole > from ? whole - from : 0;
}

} // namespace

std::vector<pass_tile> tiles_of(std::span<const engine_session> sessions) {
  std::vector<pass_tile> tiles(1);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const engine_session& s = sessions[i];
    for (std::uint32_t from = 0; !s.failed && from < s.count;) {
      const std::uint32_t room = limits::device_rows_max - tiles.back().rows;
      const std::uint32_t taken = uncut(s, from, std::min(room, s.count - from));
      if (taken == 0) {
        tiles.emplace_back();
        continue;
      }
      tiles.back().parts.push_back({i, from, taken});
      tiles.back().rows += taken;
      from += taken;
    }
  }
  if (tiles.back().rows == 0) {
    tiles.pop_back();
  }
  return tiles;
}

result<void> layer_memory::reshape(device& d, const model_config& config, std::uint32_t rows) {
  const auto floats = [&](device_memory_ptr& memory, std::size_t each) {
    return grow(d, memory, rows * each * sizeof(float));
  };
  const std::size_t widest = std::max({config.dim, config.q_dim(), config.ffn_dim});
  OVIR_TRY(floats(stream, config.dim));
  OVIR_TRY(floats(hidden, widest));
  OVIR_TRY(floats(rest, widest));
  OVIR_TRY(floats(q, config.q_dim()));
  OVIR_TRY(floats(k, std::size_t{2} * config.kv_dim()));
  OVIR_TRY(floats(v, std::size_t{2} * config.kv_dim()));
  OVIR_TRY(floats(gate, config.ffn_dim));
  OVIR_TRY(floats(up, config.ffn_dim));
  return floats(residual, config.dim);
}

result<void> multiply_all(device& d, layer_memory& memory, const device_memory& input,
                          std::uint32_t rows, std::span<const product_reader> readers,
                          device_failures failed) {
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    bool any = false;
    bool two = false;
    for (const product_reader& r : readers) {
      any = any || r.matrix->form() == form;
      two = two || (r.matrix->form() == form && r.two_terms);
    }
    if (any) {
      device_batch& batch = form == activation_form::a32 ? memory.a32 : memory.a256;
      OVIR_TRY(batch.reshape(d, form, two ? 2 * rows : rows, readers.front().matrix->cols));
      quantize(d, input, rows, batch, 0, failed);
      if (two) {
        quantize_second_terms(d, input, rows, batch, *memory.rest, failed);
      }
    }
  }
  for (const product_reader& r : readers) {
    const device_matrix& w = *r.matrix;
    if (w.form() == activation_form::floats) {
      multiply(d, w, input, rows, *r.output);
      continue;
    }
    multiply(d, w, w.form() == activation_form::a32 ? memory.a32 : memory.a256,
             r.two_terms ? 2 * rows : rows, *r.output);
    if (r.two_terms) {
      const std::uint32_t n = rows * w.rows;
      launch(d, device_kernel::add_terms, {groups_of(n, row_of(device_kernel::add_terms).items)},
             r.output, n);
    }
  }
  return {};
}

device_failures device_layer_step::at(std::uint32_t place) const {
  return {tile.failed.get(), layer * places_of_layer + place};
}

// What a block reads: the stream, normed where the model does that.
const device_memory& device_layer_step::block_input(const device_memory_ptr& norm) const {
  if (norm == nullptr) {
    return *memory.stream;
  }
  norm_rows(d, *memory.stream, *norm, config.dim, config.norm_epsilon, tile.rows, *memory.hidden);
  return *memory.hidden;
}

// Adds what a block put out to the stream, normed and scaled where the model does that.
void device_layer_step::add_block_output(const device_memory_ptr& norm, std::uint32_t place) const {
  const device_memory& out = *memory.residual;
  if (norm != nullptr) {
    norm_rows(d, out, *norm, config.dim, config.norm_epsilon, tile.rows, out);
  }
  if (config.residual_scale != 1) {
    const std::uint32_t n = tile.rows * config.dim;
    launch(d, device_kernel::scale_by, {groups_of(n, row_of(device_kernel::scale_by).items)}, &out,
           n, config.residual_scale);
  }
  add_rows(d, *memory.stream, out, tile.rows, config.dim, at(place));
}

// Biases and norms of queries, keys and values, as far as the model has them, and the rotation.
void device_layer_step::finish_queries_and_keys() const {
  const device_failures failed = at(in_key_or_value);
  const auto add = [&](const device_memory_ptr& x, const device_memory_ptr& bias, std::uint32_t n) {
    if (bias != nullptr) {
      launch(d, device_kernel::add_bias,
             {groups_of(n, row_of(device_kernel::add_bias).items), tile.rows}, x.get(), bias.get(),
             n, failed.rows, failed.where);
    }
  };
  add(memory.q, weights.q_bias, config.q_dim());
  add(memory.k, weights.k_bias, config.kv_dim());
  add(memory.v, weights.v_bias, config.kv_dim());
  const auto norm = [&](const device_memory_ptr& x, const device_memory_ptr& w,
                        std::uint32_t length, std::uint32_t n) {
    if (w != nullptr) {
      norm_rows(d, *x, *w, length, config.norm_epsilon, std::size_t{tile.rows} * (n / length), *x);
    }
  };
  norm(memory.q, weights.q_norm, weights.q_norm_length, config.q_dim());
  norm(memory.k, weights.k_norm, weights.k_norm_length, config.kv_dim());
  if (kind.rotated) {
    const device_rotation rotation{config.rotary, config.rope_dim / 2, &cos_sin};
    rotate_rows(d, *memory.q, tile.rows, config.heads, config.head_dim, rotation, *tile.position);
    rotate_rows(d, *memory.k, tile.rows, config.kv_heads, config.head_dim, rotation,
                *tile.position);
  }
}

result<void> device_layer_step::attention() const {
  const device_memory& input = block_input(weights.attn_norm);
  const std::array qkv{
      product_reader{&weights.q, memory.q.get()},
      product_reader{&weights.k, memory.k.get(), key_terms(weights.k.form()) == input_terms::two},
      product_reader{&weights.v, memory.v.get(), value_terms(weights.v.form()) == input_terms::two},
  };
  OVIR_TRY(multiply_all(d, memory, input, tile.rows, qkv, at(in_attention_input)));
  finish_queries_and_keys();
  const device_heads shape{config.heads, config.kv_heads, config.head_dim};
  const device_pages pages{&pool, tile.pages.get(), tile.table_of.get(), tile.position.get()};
  store_rows(d, *memory.k, *memory.v, tile.rows, shape, pages, *tile.fresh, fresh_first,
             at(in_key_or_value));
  OVIR_TRY(attend_rows(d, memory.scores, *memory.q, tile.rows, shape, pages,
                       {kind.window, config.attention_scale, config.attention_cap, tile.positions},
                       *memory.hidden));
  const std::array out{product_reader{&weights.output, memory.residual.get()}};
  return multiply_all(d, memory, *memory.hidden, tile.rows, out, at(in_attention_output));
}

result<void> device_layer_step::feed_forward() const {
  add_block_output(weights.attn_post_norm, in_feed_forward_input);
  const device_memory& input = block_input(weights.ffn_norm);
  const std::array gate_up{product_reader{&weights.gate, memory.gate.get()},
                           product_reader{&weights.up, memory.up.get()}};
  OVIR_TRY(multiply_all(d, memory, input, tile.rows, gate_up, at(in_feed_forward_input)));
  gate_elements(d, config.gate, *memory.gate, *memory.up, tile.rows * config.ffn_dim, *memory.gate);
  const std::array down{product_reader{&weights.down, memory.residual.get()}};
  OVIR_TRY(multiply_all(d, memory, *memory.gate, tile.rows, down, at(in_feed_forward)));
  add_block_output(weights.ffn_post_norm, at_the_end);
  return {};
}

result<void> device_layer_step::run() const {
  OVIR_TRY(attention());
  return feed_forward();
}

} // namespace ovir::compute
