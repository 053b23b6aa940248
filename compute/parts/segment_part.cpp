#include "compute/parts/segment_part.hpp"

#include "compute/kernels/partial_sums.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/parts/expert_rows.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace ovir::compute {

namespace {

const float* part_floats(const weight& w) { return reinterpret_cast<const float*>(w.data); }

/// Elements of a block whose scale follows from the largest magnitude of a whole row. A block with
/// that magnitude alone, behind a part of the row, gives the part the scales of the whole.
std::uint32_t scale_block_of(activation_form form) {
  return form == activation_form::a256 ? 256 : 32;
}

form_set form_alone(activation_form form) {
  form_set set;
  set.floats = form == activation_form::floats;
  set.a32 = form == activation_form::a32;
  set.a256 = form == activation_form::a256;
  return set;
}

float largest_of(std::span<const float> x) {
  float most = 0;
  for (const float v : x) {
    most = std::max(most, std::fabs(v));
  }
  return most;
}

/// The first `cols` columns of every row.
void copy_columns(const quantized_batch& from, std::uint32_t cols, quantized_batch& to) {
  to.reshape(from.form, from.tokens, cols);
  const std::size_t groups = cols / 32;
  const std::size_t scales = cols / from.scale_block();
  for (std::size_t t = 0; t < from.tokens && cols > 0; ++t) {
    std::copy_n(from.q_row(t), cols, &to.q[t * cols]);
    std::copy_n(from.k_row(t), scales, &to.k[t * scales]);
    std::copy_n(from.m_row(t), groups, &to.m[t * groups]);
    std::copy_n(from.sum_row(t), groups, &to.sum[t * groups]);
    to.u[t] = from.u[t];
  }
}

} // namespace

segment_part::segment_part(model_part part, segment_cut cut, std::uint32_t member,
                           const kernel_set& kernels)
    : cut_(std::move(cut)), member_(member), kernels_(kernels), whole_config_(part.weights.config),
      config_(part.weights.config), part_(std::move(part)) {
  const std::uint32_t group = whole_config_.heads / whole_config_.kv_heads;
  config_.kv_heads = mine().kv_heads.size();
  config_.heads = config_.kv_heads * group;
  (config_.experts == 0 ? config_.ffn_dim : config_.expert_ffn_dim) = mine().inner.size();
  norms_.resize(cut_.layers.size());
  for (layer_index l = cut_.layers.first; l < cut_.layers.last; ++l) {
    layer_weights& w = part_.weights.layers[l];
    if (norms_whole_rows(whole_config_, w)) {
      norms_[l - cut_.layers.first] = {std::exchange(w.attn_q_norm, {}),
                                       std::exchange(w.attn_k_norm, {})};
    }
  }
  std::vector<float> factors;
  if (const weight& w = part_.weights.rope_factors; !w.empty()) {
    factors.resize(w.cols);
    embed_row(w, 0, factors.data());
  }
  rope_ = rope_table{whole_config_, factors};
  if (whole_config_.window_rope_base != 0) {
    window_rope_ = rope_table::of_windows(whole_config_);
  }
}

result<std::unique_ptr<segment_part>> segment_part::make(const model& whole, const segment_cut& cut,
                                                         std::uint32_t member,
                                                         const kernel_set& kernels,
                                                         parallel_runner& runner, bool pack) {
  OVIR_ASSIGN(model_part part, take_part(whole, cut, member));
  OVIR_TRY(check_weights(part.weights, cut.layers, runner));
  for (layer_index l = cut.layers.first; l < cut.layers.last; ++l) {
    const layer_weights& w = part.weights.layers[l];
    const layer_cut& how = cut.of(l);
    if ((how.attention.output == output_cut::columns && w.attn_output.wide) ||
        (how.feed_forward.output == output_cut::columns && w.ffn_down.wide)) {
      return fail(
          errc::unsupported,
          "layer {} has sums beyond 64 bits, which do not cross: its outputs are cut by rows", l);
    }
  }
  if (pack) {
    OVIR_TRY(pack_part(part, cut.layers, kernels.id, runner));
  }
  return std::unique_ptr<segment_part>{new segment_part{std::move(part), cut, member, kernels}};
}

std::uint64_t segment_part::layer_bytes() const noexcept { return part_.layer_bytes(cut_.layers); }

result<std::optional<kv_cache>> segment_part::open(std::uint32_t positions,
                                                   std::size_t kv_bytes_max) const {
  if (config_.kv_heads == 0) {
    return std::optional<kv_cache>{};
  }
  OVIR_ASSIGN(kv_cache kv, kv_cache::make(config_, cut_.layers, positions, kv_bytes_max));
  return std::optional<kv_cache>{std::move(kv)};
}

// What a step is bound to.

layer_step segment_part::bound() {
  const layer_index l = place_.layer;
  const layer_kind kind = config_.kind_of(l);
  return {config_,   part_.weights.layers[l],
          l,         kind,
          kernels_,  kind.window_rope ? window_rope_ : rope_,
          sessions_, rows_,
          scratch_};
}

const block_cut& segment_part::how() const {
  const layer_cut& layer = cut_.of(place_.layer);
  return is_attention() ? layer.attention : layer.feed_forward;
}

const weight& segment_part::output() const {
  const layer_weights& w = part_.weights.layers[place_.layer];
  return is_attention() ? w.attn_output : is_mixture() ? w.experts.front().down : w.ffn_down;
}

activation_form segment_part::form() const { return form_for(output().type); }

const quantized_batch& segment_part::own_integers() { return own().integers(form()); }

std::uint32_t segment_part::own_columns() const {
  return is_attention() ? config_.q_dim() : config_.ffn_dim;
}

part_range segment_part::columns_of(std::uint32_t member) const {
  const member_part& part = cut_.members[member];
  return is_attention() ? attention_columns(whole_config_, part) : part.inner;
}

std::uint32_t segment_part::all_columns() const {
  return is_attention() ? whole_config_.q_dim() : whole_config_.ffn_dim;
}

bool segment_part::sends_floats() const {
  return how().output == output_cut::rows && rows_ <= how().floats_up_to;
}

bool segment_part::is_failed(std::size_t row) const {
  return sessions_[scratch_.session_of[row]].failed.has_value();
}

// Steps.

void segment_part::begin(std::span<const session_rows> sessions, std::uint32_t rows,
                         std::span<const float> stream) {
  OVIR_CHECK(stream.size() == std::size_t{rows} * config_.dim, stream.size(), rows);
  sessions_.assign(sessions.begin(), sessions.end());
  rows_ = rows;
  x_.assign(stream.begin(), stream.end());
  scratch_.session_of.assign(rows, 0);
  scratch_.ok.assign(rows, 1);
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const session_rows& s = sessions_[i];
    OVIR_CHECK((s.kv == nullptr) == (config_.kv_heads == 0));
    std::fill_n(scratch_.session_of.begin() + s.row, s.count, static_cast<std::uint32_t>(i));
    const std::uint8_t ok = s.failed ? 0 : 1;
    std::fill_n(scratch_.ok.begin() + s.row, s.count, ok);
    rope_.grow(s.first + s.count);
    window_rope_.grow(s.first + s.count);
  }
  grown(scratch_.residual, std::size_t{rows} * config_.dim);
  place_ = {cut_.layers.first, layer_block::attention, crossing_kind::maxima};
  next_ = step::begin_layer;
}

part_stop segment_part::advance(parallel_runner& runner) {
  switch (next_) {
  case step::begin_layer: return begin_layer(runner);
  case step::norm_queries: return norm_queries(runner);
  case step::after_maxima: return after_maxima(runner);
  case step::after_floats: return after_floats(runner);
  case step::after_quantised: return send_rows(runner);
  case step::after_output: return after_output(runner);
  case step::end_layer:
    place_.block = layer_block::attention;
    return ++place_.layer == cut_.layers.last ? end_pass() : begin_layer(runner);
  case step::done: break;
  }
  return part_stop::done;
}

part_stop segment_part::send(crossing_kind kind, step next) {
  place_.kind = kind;
  next_ = next;
  return part_stop::exchange;
}

part_stop segment_part::end_pass() {
  next_ = step::done;
  return part_stop::done;
}

part_stop segment_part::begin_layer(parallel_runner& runner) {
  layer_step layer = bound();
  if (!layer.read_attention({x_.data(), std::size_t{rows_} * config_.dim}, runner)) {
    return end_pass();
  }
  layer.multiply_attention(runner);
  if (norms_[place_.layer - cut_.layers.first][0].empty()) {
    return compute_heads(runner);
  }
  outgoing_.clear();
  append_floats(scratch_.q.data(), rows_, config_.q_dim(), config_.q_dim(), outgoing_);
  append_floats(scratch_.k.data(), rows_, config_.kv_dim(), config_.kv_dim(), outgoing_);
  return send(crossing_kind::queries_keys, step::norm_queries);
}

// Over all heads, of which the part then takes its own.
part_stop segment_part::norm_queries(parallel_runner& runner) {
  const auto& norms = norms_[place_.layer - cut_.layers.first];
  const std::size_t q_all = whole_config_.q_dim();
  const std::size_t k_all = whole_config_.kv_dim();
  const auto norm_row = [&](const weight& norm, float* x, std::size_t n) {
    for (std::size_t at = 0; at < n; at += norm.cols) {
      kernels_.rms_norm(x + at, part_floats(norm), norm.cols, config_.norm_epsilon, x + at);
    }
  };
  for_tokens(rows_, runner, [&](std::size_t t) {
    float* const q = queries_keys_.data() + t * q_all;
    float* const k = queries_keys_.data() + rows_ * q_all + t * k_all;
    norm_row(norms[0], q, q_all);
    norm_row(norms[1], k, k_all);
    std::copy_n(q + columns_of(member_).first, config_.q_dim(),
                scratch_.q.data() + t * config_.q_dim());
    std::copy_n(k + std::size_t{mine().kv_heads.first} * config_.head_dim, config_.kv_dim(),
                scratch_.k.data() + t * config_.kv_dim());
  });
  return compute_heads(runner);
}

part_stop segment_part::compute_heads(parallel_runner& runner) {
  shape_own();
  if (config_.kv_heads > 0) {
    layer_step layer = bound();
    layer.store_keys_and_values(runner);
    layer.attend(runner);
  }
  return send_activations(runner);
}

void segment_part::shape_own() {
  if (sends_floats()) {
    own().reshape(rows_, own_columns(), form_alone(activation_form::floats));
  } else {
    const activation_form form = form_for(output().type);
    own().reshape(rows_, own_columns() + scale_block_of(form), form_alone(form));
  }
}

// What the others need of a block's activations first.
part_stop segment_part::send_activations(parallel_runner& runner) {
  const bool as_floats = sends_floats();
  const std::size_t n = own_columns();
  joined_.clear(rows_);
  for_tokens(rows_, runner, [&](std::size_t t) {
    const std::span<float> row{own().row(t), n};
    row_state& state = joined_.states[t];
    if (scratch_.ok[t] == 0) {
      state = is_failed(t) ? row_state::good : row_state::bad_key_or_value;
      std::fill(row.begin(), row.end(), 0.0F);
    } else if (!as_floats && !all_finite(row)) {
      state = row_state::bad_activation;
    } else if (!as_floats) {
      joined_.most[t] = largest_of(row);
    }
  });
  if (!as_floats) {
    outgoing_ = encode_maxima(joined_.most, joined_.states);
    return send(crossing_kind::maxima, step::after_maxima);
  }
  outgoing_.clear();
  append_floats(own().row(0), rows_, n, own().cols(), outgoing_);
  append_states(joined_.states, outgoing_);
  return send(crossing_kind::floats, step::after_floats);
}

bool segment_part::check_activations() {
  return bound().check(is_attention() ? layer_places[2] : layer_places[4]);
}

// Sessions fail by what any member found, where one alone would have found it: keys and values
// before what is computed from them.
bool segment_part::fail_by_states() {
  const auto mark = [&](row_state bad) {
    for (std::size_t t = 0; t < rows_; ++t) {
      if (!is_failed(t)) {
        scratch_.ok[t] = joined_.states[t] == bad ? 0 : 1;
      }
    }
  };
  if (is_attention()) {
    mark(row_state::bad_key_or_value);
    if (!bound().check(layer_places[1])) {
      return false;
    }
  }
  mark(row_state::bad_activation);
  return check_activations();
}

part_stop segment_part::after_maxima(parallel_runner& runner) {
  if (!fail_by_states()) {
    return end_pass();
  }
  const std::size_t n = own_columns();
  for_tokens(rows_, runner, [&](std::size_t t) {
    float* const row = own().row(t);
    const bool good = scratch_.ok[t] != 0;
    std::fill(good ? row + n : row, row + own().cols(), 0.0F);
    row[n] = good ? joined_.most[t] : 0.0F;
    OVIR_CHECK(own().quantize(kernels_, t));
  });
  if (how().output == output_cut::columns) {
    return send_sums(runner);
  }
  outgoing_ = encode_quantised(own_integers(), own_columns());
  return send(crossing_kind::quantised, step::after_quantised);
}

part_stop segment_part::after_floats(parallel_runner& runner) {
  if (!fail_by_states()) {
    return end_pass();
  }
  if (is_mixture()) {
    return after_experts(runner);
  }
  const layer_step layer = bound();
  for_tokens(rows_, runner, [&](std::size_t t) { layer.quantize(whole_, t); });
  return check_activations() ? send_rows(runner) : end_pass();
}

// Of every expert that a row goes to, the part's activations.
part_stop segment_part::send_experts(parallel_runner& runner) {
  const layer_step layer = bound();
  inner_of_experts(layer, runner, experts_own_);
  joined_.clear(rows_);
  outgoing_.clear();
  append_floats(experts_own_.data(), expert_seats(layer), config_.expert_ffn_dim,
                config_.expert_ffn_dim, outgoing_);
  append_states(joined_.states, outgoing_);
  return send(crossing_kind::floats, step::after_floats);
}

part_stop segment_part::after_experts(parallel_runner& runner) {
  const std::size_t n = mine().rows.size();
  const layer_step layer = bound();
  const std::size_t all = expert_seats(layer) * whole_config_.expert_ffn_dim;
  if (!rows_of_experts(layer, {experts_all_.data(), all}, whole_config_.expert_ffn_dim,
                       mine().rows.size(), runner, grown(output_rows_, rows_ * n))) {
    return end_pass();
  }
  outgoing_.clear();
  append_floats(output_rows_.data(), rows_, n, n, outgoing_);
  return send(crossing_kind::rows, step::after_output);
}

part_stop segment_part::send_rows(parallel_runner& runner) {
  const std::size_t n = mine().rows.size();
  const product_group out[] = {{&output(), grown(output_rows_, rows_ * n)}};
  multiply(kernels_, whole_, out, runner);
  outgoing_.clear();
  append_floats(output_rows_.data(), rows_, n, n, outgoing_);
  return send(crossing_kind::rows, step::after_output);
}

part_stop segment_part::send_sums(parallel_runner& runner) {
  constexpr std::size_t grain = 16; // rows of a panel
  const std::size_t dim = config_.dim;
  sums_.assign(rows_ * dim, 0);
  if (own_columns() > 0) {
    copy_columns(own_integers(), own_columns(), own_batch_);
    const std::size_t parts = std::min(runner.width(), (dim + grain - 1) / grain);
    runner.run(parts, [&](std::size_t part) {
      const slice some = slice_of(dim, grain, part, parts);
      product_sums(kernels_, output(), static_cast<std::uint32_t>(some.first),
                   static_cast<std::uint32_t>(some.last), own_batch_, sums_.data(), dim);
    });
  }
  outgoing_ = encode_sums(sums_);
  return send(crossing_kind::sums, step::after_output);
}

part_stop segment_part::after_output(parallel_runner& runner) {
  const std::span<float> stream{x_.data(), std::size_t{rows_} * config_.dim};
  layer_step layer = bound();
  if (!is_attention()) {
    if (!layer.finish(stream, runner)) {
      return end_pass();
    }
    next_ = step::end_layer;
    return part_stop::layer;
  }
  place_.block = layer_block::feed_forward;
  if (is_mixture()) {
    return layer.read_mixture(stream, runner) ? send_experts(runner) : end_pass();
  }
  if (!layer.read_feed_forward(stream, runner)) {
    return end_pass();
  }
  shape_own();
  if (config_.ffn_dim > 0) {
    layer.multiply_feed_forward(runner);
  }
  return send_activations(runner);
}

// Taking.

void segment_part::shape_taken() {
  switch (place_.kind) {
  case crossing_kind::queries_keys:
    grown(queries_keys_, std::size_t{rows_} * (whole_config_.q_dim() + whole_config_.kv_dim()));
    break;
  case crossing_kind::maxima: joined_.clear(rows_); break;
  case crossing_kind::floats: {
    joined_.clear(rows_);
    if (is_mixture()) {
      grown(experts_all_, expert_seats(bound()) * whole_config_.expert_ffn_dim);
      break;
    }
    const product_group out[] = {{&output(), nullptr}};
    whole_.reshape(rows_, all_columns(), forms_of(out));
    break;
  }
  case crossing_kind::quantised: {
    const activation_form form = form_for(output().type);
    whole_.reshape(rows_, all_columns(), form_alone(form));
    std::copy_n(own_integers().u.begin(), rows_, whole_.integers(form).u.begin());
    break;
  }
  case crossing_kind::sums: totals_.assign(std::size_t{rows_} * config_.dim, 0); break;
  case crossing_kind::rows:
  case crossing_kind::logits: break;
  }
}

result<void> segment_part::take_queries_keys(std::uint32_t member,
                                             std::span<const std::byte> bytes) {
  const part_range q = columns_of(member);
  const part_range& heads = cut_.members[member].kv_heads;
  const std::size_t q_bytes = std::size_t{rows_} * q.size() * sizeof(float);
  const std::size_t k_width = std::size_t{heads.size()} * config_.head_dim;
  const std::size_t q_all = whole_config_.q_dim();
  float* const keys = queries_keys_.data() + rows_ * q_all;
  OVIR_TRY(read_floats(bytes.first(std::min(q_bytes, bytes.size())), rows_, q.size(), q_all,
                       queries_keys_.data() + q.first));
  return read_floats(bytes.subspan(q_bytes), rows_, k_width, whole_config_.kv_dim(),
                     keys + std::size_t{heads.first} * config_.head_dim);
}

result<void> segment_part::take_floats(std::uint32_t member, std::span<const std::byte> bytes) {
  const part_range columns = columns_of(member);
  const bool mixture = is_mixture();
  const std::size_t rows = mixture ? expert_seats(bound()) : rows_;
  const std::size_t size = rows * columns.size() * sizeof(float);
  OVIR_TRY(read_floats(bytes.first(std::min(size, bytes.size())), rows, columns.size(),
                       mixture ? whole_config_.expert_ffn_dim : whole_.cols(),
                       (mixture ? experts_all_.data() : whole_.row(0)) + columns.first));
  return join_states(bytes.subspan(size), place_.block, joined_.states);
}

result<void> segment_part::take_from(std::uint32_t member, std::span<const std::byte> bytes) {
  switch (place_.kind) {
  case crossing_kind::queries_keys: return take_queries_keys(member, bytes);
  case crossing_kind::maxima: return join_maxima(bytes, place_.block, joined_);
  case crossing_kind::floats: return take_floats(member, bytes);
  case crossing_kind::quantised:
    return read_quantised(bytes, columns_of(member), whole_.integers(form_for(output().type)));
  case crossing_kind::sums: return add_sums(bytes, totals_);
  case crossing_kind::rows: {
    const part_range& rows = cut_.members[member].rows;
    return read_floats(bytes, rows_, rows.size(), config_.dim,
                       scratch_.residual.data() + rows.first);
  }
  case crossing_kind::logits: break;
  }
  return fail(errc::internal, "nothing of that kind crosses within a layer");
}

result<void> segment_part::take(std::span<const std::span<const std::byte>> all) {
  OVIR_CHECK(all.size() == cut_.members.size(), all.size());
  shape_taken();
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    if (const auto taken = take_from(i, all[i]); !taken) {
      next_ = step::done;
      return in_context(fmt::format("member {} of the group, layer {}", i, place_.layer),
                        taken.error());
    }
  }
  if (place_.kind == crossing_kind::sums) {
    round_totals();
  }
  return {};
}

// Once each, as the product of the whole would be.
void segment_part::round_totals() {
  const std::size_t dim = config_.dim;
  const float unit = unit_of_products(output().type);
  for (std::size_t t = 0; t < rows_; ++t) {
    const float power = own_integers().u[t] * unit;
    for (std::size_t i = t * dim; i < (t + 1) * dim; ++i) {
      scratch_.residual[i] = rounded_total(totals_[i]) * power;
    }
  }
}

void segment_part::head(std::span<const float* const> sources, parallel_runner& runner,
                        std::vector<float>& out, std::span<std::uint8_t> ok) {
  const weight& w = part_.weights.output;
  OVIR_CHECK(!w.empty() && ok.size() == sources.size(), ok.size());
  const product_group products[] = {{&w, grown(out, sources.size() * w.rows)}};
  activations& a = scratch_.hidden;
  a.reshape(static_cast<std::uint32_t>(sources.size()), config_.dim, forms_of(products));
  for_tokens(sources.size(), runner, [&](std::size_t t) {
    kernels_.rms_norm(sources[t], part_floats(part_.weights.output_norm), config_.dim,
                      config_.norm_epsilon, a.row(t));
    if (!a.quantize(kernels_, t)) {
      ok[t] = 0;
      std::fill_n(a.row(t), config_.dim, 0.0F); // the row is multiplied all the same
      OVIR_CHECK(a.quantize(kernels_, t));
    }
  });
  multiply(kernels_, a, products, runner);
}

} // namespace ovir::compute
