#include "compute/devices/single_runs.hpp"

#include "compute/devices/device_layer.hpp"
#include "compute/devices/device_products.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// Reads `n` values from the beginning of `memory`, when all is done.
template <class T>
result<std::vector<T>> fetched(device& d, const device_memory& memory, std::size_t n) {
  std::vector<T> out(n);
  d.read(memory, 0, std::as_writable_bytes(std::span{out}));
  OVIR_TRY(d.settle());
  return out;
}

template <class T>
result<device_memory_ptr> room_for(device& d, std::size_t n) {
  return d.allocate(n * sizeof(T));
}

constexpr std::uint32_t no_failure = 0xFFFFFFFF;
constexpr std::uint32_t here = 5; ///< where single operations fail

result<device_memory_ptr> put_failures(device& d, std::uint32_t rows) {
  const std::vector<std::uint32_t> none(rows, no_failure);
  return put(d, std::span<const std::uint32_t>{none});
}

result<std::vector<std::uint32_t>> fetched_failures(device& d, const device_memory& memory,
                                                    std::uint32_t rows) {
  OVIR_ASSIGN(std::vector<std::uint32_t> found, fetched<std::uint32_t>(d, memory, rows));
  for (std::uint32_t& f : found) {
    OVIR_CHECK(f == no_failure || f == here, f);
    f = f == no_failure ? 0 : 1;
  }
  return found;
}

result<device_batch> put_batch(device& d, const quantized_batch& x) {
  device_batch out;
  OVIR_TRY(out.reshape(d, x.form, x.tokens, x.cols));
  std::vector<std::int32_t> sums(x.sum.size());
  std::transform(x.sum.begin(), x.sum.end(), x.m.begin(), sums.begin(),
                 [](std::int32_t sum, std::int32_t m) { return sum * m; });
  d.write(*out.q, 0, std::as_bytes(std::span{x.q}));
  d.write(*out.k, 0, std::as_bytes(std::span{x.k}));
  d.write(*out.m, 0, std::as_bytes(std::span{x.m}));
  d.write(*out.sum, 0, std::as_bytes(std::span{sums}));
  d.write(*out.u, 0, std::as_bytes(std::span{x.u}));
  return out;
}

std::uint32_t count_of(std::size_t n) { return static_cast<std::uint32_t>(n); }

} // namespace

result<std::vector<std::uint32_t>> single_runs::arithmetic(std::span<const std::uint32_t> what,
                                                           std::span<const std::uint32_t> a,
                                                           std::span<const std::uint32_t> b,
                                                           std::span<const std::uint32_t> c) {
  OVIR_ASSIGN(const auto codes, put(d_, what));
  OVIR_ASSIGN(const auto first, put(d_, a));
  OVIR_ASSIGN(const auto second, put(d_, b));
  OVIR_ASSIGN(const auto third, put(d_, c));
  OVIR_ASSIGN(const auto out, room_for<std::uint32_t>(d_, what.size()));
  launch(d_, device_kernel::arithmetic,
         {groups_of(what.size(), row_of(device_kernel::arithmetic).items)}, codes.get(),
         first.get(), second.get(), third.get(), out.get(), count_of(what.size()));
  return fetched<std::uint32_t>(d_, *out, what.size());
}

result<quantized_run> single_runs::quantize(std::span<const float> x, std::uint32_t rows,
                                            activation_form form) {
  const std::uint32_t cols = count_of(x.size() / rows);
  OVIR_ASSIGN(const auto input, put(d_, x));
  OVIR_ASSIGN(const auto failed, put_failures(d_, rows));
  device_batch batch;
  OVIR_TRY(batch.reshape(d_, form, rows, cols));
  compute::quantize(d_, *input, rows, batch, 0, {failed.get(), here});
  quantized_run out;
  quantized_batch& b = out.batch;
  b.reshape(form, rows, cols);
  OVIR_ASSIGN(b.q, fetched<std::int8_t>(d_, *batch.q, b.q.size()));
  OVIR_ASSIGN(b.k, fetched<std::int32_t>(d_, *batch.k, b.k.size()));
  OVIR_ASSIGN(b.m, fetched<std::int32_t>(d_, *batch.m, b.m.size()));
  OVIR_ASSIGN(b.sum, fetched<std::int32_t>(d_, *batch.sum, b.sum.size()));
  OVIR_ASSIGN(b.u, fetched<float>(d_, *batch.u, b.u.size()));
  OVIR_ASSIGN(out.failed, fetched_failures(d_, *failed, rows));
  return out;
}

result<std::vector<float>> single_runs::remainder(std::span<const float> x, std::uint32_t rows,
                                                  activation_form form) {
  OVIR_ASSIGN(const auto input, put(d_, x));
  OVIR_ASSIGN(const auto failed, put_failures(d_, 2 * rows));
  OVIR_ASSIGN(const auto rest, room_for<float>(d_, x.size()));
  device_batch batch;
  OVIR_TRY(batch.reshape(d_, form, 2 * rows, count_of(x.size() / rows)));
  compute::quantize(d_, *input, rows, batch, 0, {failed.get(), here});
  quantize_second_terms(d_, *input, rows, batch, *rest, {failed.get(), here});
  return fetched<float>(d_, *rest, x.size());
}

result<std::vector<float>> single_runs::product(const weight& w, const quantized_batch& x) {
  OVIR_ASSIGN(const device_matrix matrix, upload(d_, w));
  OVIR_ASSIGN(const device_batch batch, put_batch(d_, x));
  const std::size_t n = std::size_t{x.tokens} * w.rows;
  OVIR_ASSIGN(const auto y, room_for<float>(d_, n));
  multiply(d_, matrix, batch, x.tokens, *y);
  return fetched<float>(d_, *y, n);
}

result<std::vector<float>> single_runs::product(const weight& w, std::span<const float> x,
                                                std::uint32_t tokens) {
  OVIR_ASSIGN(const device_matrix matrix, upload(d_, w));
  OVIR_ASSIGN(const auto input, put(d_, x));
  const std::size_t n = std::size_t{tokens} * w.rows;
  OVIR_ASSIGN(const auto y, room_for<float>(d_, n));
  multiply(d_, matrix, *input, tokens, *y);
  return fetched<float>(d_, *y, n);
}

result<std::vector<float>> single_runs::rms_norm(std::span<const float> x, std::span<const float> w,
                                                 float epsilon) {
  OVIR_ASSIGN(const auto input, put(d_, x));
  OVIR_ASSIGN(const auto weights, put(d_, w));
  norm_rows(d_, *input, *weights, count_of(w.size()), epsilon, x.size() / w.size(), *input);
  return fetched<float>(d_, *input, x.size());
}

result<std::vector<float>> single_runs::rotate(std::span<const float> x, std::uint32_t heads,
                                               std::uint32_t head_dim, rotary_pairs which,
                                               std::uint32_t pairs, std::span<const float> cos_sin,
                                               std::span<const position> positions) {
  OVIR_ASSIGN(const auto input, put(d_, x));
  OVIR_ASSIGN(const auto table, put(d_, cos_sin));
  OVIR_ASSIGN(const auto places, put(d_, positions));
  rotate_rows(d_, *input, count_of(positions.size()), heads, head_dim, {which, pairs, table.get()},
              *places);
  return fetched<float>(d_, *input, x.size());
}

result<std::vector<float>> single_runs::gated(gate_function function, std::span<const float> gate,
                                              std::span<const float> up) {
  OVIR_ASSIGN(const auto g, put(d_, gate));
  OVIR_ASSIGN(const auto u, put(d_, up));
  gate_elements(d_, function, *g, *u, count_of(gate.size()), *g);
  return fetched<float>(d_, *g, gate.size());
}

result<single_runs::sums> single_runs::add(std::span<const float> a, std::span<const float> b,
                                           std::uint32_t rows) {
  OVIR_ASSIGN(const auto left, put(d_, a));
  OVIR_ASSIGN(const auto right, put(d_, b));
  OVIR_ASSIGN(const auto failed, put_failures(d_, rows));
  add_rows(d_, *left, *right, rows, count_of(a.size() / rows), {failed.get(), here});
  sums out;
  OVIR_ASSIGN(out.values, fetched<float>(d_, *left, a.size()));
  OVIR_ASSIGN(out.failed, fetched_failures(d_, *failed, rows));
  return out;
}

result<stored_run> single_runs::store(std::span<const float> k, std::span<const float> v,
                                      std::uint32_t kv_heads, std::uint32_t head_dim,
                                      std::span<const std::uint16_t> pool,
                                      std::span<const std::uint32_t> pages,
                                      std::span<const position> positions) {
  const std::uint32_t rows = count_of(positions.size());
  const std::vector<std::uint32_t> tables(rows, 0);
  OVIR_ASSIGN(const auto keys, put(d_, k));
  OVIR_ASSIGN(const auto values, put(d_, v));
  OVIR_ASSIGN(const auto all, put(d_, pool));
  OVIR_ASSIGN(const auto order, put(d_, pages));
  OVIR_ASSIGN(const auto table_of, put(d_, std::span<const std::uint32_t>{tables}));
  OVIR_ASSIGN(const auto places, put(d_, positions));
  OVIR_ASSIGN(const auto failed, put_failures(d_, rows));
  OVIR_ASSIGN(const auto fresh, room_for<std::uint16_t>(d_, k.size() * 2));
  store_rows(d_, *keys, *values, rows, {kv_heads, kv_heads, head_dim},
             {all.get(), order.get(), table_of.get(), places.get()}, *fresh, 0,
             {failed.get(), here});
  stored_run out;
  OVIR_ASSIGN(out.pool, fetched<std::uint16_t>(d_, *all, pool.size()));
  OVIR_ASSIGN(out.fresh, fetched<std::uint16_t>(d_, *fresh, k.size() * 2));
  OVIR_ASSIGN(out.failed, fetched_failures(d_, *failed, rows));
  return out;
}

result<std::vector<float>> single_runs::attend(const attention_run& run) {
  const std::uint32_t rows = count_of(run.positions.size());
  const std::vector<std::uint32_t> tables(rows, 0);
  OVIR_ASSIGN(const auto q, put(d_, run.queries));
  OVIR_ASSIGN(const auto pool, put(d_, run.pool));
  OVIR_ASSIGN(const auto order, put(d_, run.pages));
  OVIR_ASSIGN(const auto table_of, put(d_, std::span<const std::uint32_t>{tables}));
  OVIR_ASSIGN(const auto places, put(d_, run.positions));
  OVIR_ASSIGN(const auto y, room_for<float>(d_, run.queries.size()));
  device_scores scratch;
  const position last = *std::max_element(run.positions.begin(), run.positions.end());
  OVIR_TRY(attend_rows(d_, scratch, *q, rows, {run.heads, run.kv_heads, run.head_dim},
                       {pool.get(), order.get(), table_of.get(), places.get()},
                       {run.window, run.scale, run.cap, last + 1}, *y));
  return fetched<float>(d_, *y, run.queries.size());
}

result<std::vector<std::uint32_t>> single_runs::highest(std::span<const float> logits,
                                                        std::uint32_t rows) {
  OVIR_ASSIGN(const auto input, put(d_, logits));
  OVIR_ASSIGN(const auto failed, put_failures(d_, rows));
  OVIR_ASSIGN(const auto tokens, room_for<std::uint32_t>(d_, rows));
  launch(d_, device_kernel::highest, {rows}, input.get(), count_of(logits.size() / rows),
         tokens.get(), failed.get(), here);
  return fetched<std::uint32_t>(d_, *tokens, rows);
}

result<std::vector<digest>> single_runs::boundaries(std::span<const float> rows, std::uint32_t dim,
                                                    layer_index layer, std::uint32_t window) {
  const std::uint32_t count = count_of(rows.size() / dim / limits::window_positions);
  std::vector<std::uint32_t> first_rows(count);
  std::vector<std::uint32_t> numbers(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    first_rows[i] = i * limits::window_positions;
    numbers[i] = window + i;
  }
  OVIR_ASSIGN(const auto input, put(d_, rows));
  OVIR_ASSIGN(const auto firsts, put(d_, std::span<const std::uint32_t>{first_rows}));
  OVIR_ASSIGN(const auto names, put(d_, std::span<const std::uint32_t>{numbers}));
  OVIR_ASSIGN(const auto key, put_boundary_key(d_));
  OVIR_ASSIGN(const auto digests, room_for<digest>(d_, count));
  device_memory_ptr scratch;
  OVIR_TRY(digest_windows(d_, scratch, *input, dim, layer,
                          {count, firsts.get(), names.get(), key.get()}, *digests, 0));
  return fetched<digest>(d_, *digests, count);
}

} // namespace ovir::compute
