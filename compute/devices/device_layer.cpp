#include "compute/devices/device_layer.hpp"

#include "compute/model/transcript.hpp"
#include "messages/domain_key.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace ovir::compute {

namespace {

constexpr std::uint32_t elements_of_group = 256;
constexpr std::uint32_t attention_chunk_positions = 256;
constexpr std::uint32_t scored_positions = 16; ///< by a group
constexpr std::uint32_t chunk_bytes_of_blake3 = 1024;
constexpr std::uint32_t chunks_of_group = 64;

} // namespace

void norm_rows(device& d, const device_memory& x, const device_memory& w, std::uint32_t n,
               float epsilon, std::size_t count, const device_memory& y) {
  launch(d, device_kernel::rms_norm, {static_cast<std::uint32_t>(count)}, &x, &w, n, epsilon, &y);
}

void rotate_rows(device& d, const device_memory& x, std::uint32_t rows, std::uint32_t heads,
                 std::uint32_t head_dim, const device_rotation& rotation,
                 const device_memory& position) {
  const std::uint32_t halves = rotation.which == rotary_pairs::halves ? 1 : 0;
  launch(d, device_kernel::rope,
         {groups_of(std::size_t{heads} * rotation.pairs, row_of(device_kernel::rope).items), rows},
         &x, heads, head_dim, rotation.pairs, halves, rotation.cos_sin, &position);
}

void store_rows(device& d, const device_memory& k, const device_memory& v, std::uint32_t rows,
                const device_heads& shape, const device_pages& at, const device_memory& fresh,
                std::uint32_t fresh_first, device_failures failed) {
  const std::size_t elements = std::size_t{shape.kv_heads} * shape.head_dim;
  launch(d, device_kernel::store_kv,
         {groups_of(elements, row_of(device_kernel::store_kv).items), rows}, &k, &v, shape.kv_heads,
         shape.head_dim, at.pool, at.pages, at.table_of, at.position, &fresh, fresh_first,
         failed.rows, failed.where);
}

result<void> attend_rows(device& d, device_scores& scratch, const device_memory& q,
                         std::uint32_t rows, const device_heads& shape, const device_pages& at,
                         const device_view& view, const device_memory& y) {
  const std::uint32_t stride = view.positions;
  const std::uint32_t chunks = groups_of(stride, attention_chunk_positions);
  const std::size_t row_scores = std::size_t{shape.heads} * stride * sizeof(float);
  const auto together = static_cast<std::uint32_t>(
      std::clamp<std::size_t>(limits::device_scores_bytes_max / row_scores, 1, rows));
  const std::size_t heads = std::size_t{together} * shape.heads;
  OVIR_TRY(grow(d, scratch.scores, together * row_scores));
  OVIR_TRY(grow(d, scratch.highest, heads * sizeof(float)));
  OVIR_TRY(grow(d, scratch.outputs, heads * chunks * shape.head_dim * sizeof(float)));
  OVIR_TRY(grow(d, scratch.sums, heads * chunks * sizeof(float)));
  for (std::uint32_t first = 0; first < rows; first += together) {
    const std::uint32_t n = std::min(together, rows - first);
    launch(d, device_kernel::attend_scores,
           {groups_of(stride, scored_positions), shape.kv_heads, n}, &q, first, shape.heads,
           shape.kv_heads, shape.head_dim, at.pool, at.pages, at.table_of, at.position, view.window,
           view.scale, view.cap, scratch.scores.get(), stride);
    launch(d, device_kernel::attend_highest, {shape.heads, n}, scratch.scores.get(), first,
           shape.heads, stride, at.position, view.window, scratch.highest.get());
    launch(d, device_kernel::attend_chunks, {chunks, shape.heads, n}, scratch.scores.get(),
           scratch.highest.get(), first, shape.heads, shape.kv_heads, shape.head_dim, at.pool,
           at.pages, at.table_of, at.position, view.window, stride, chunks, scratch.outputs.get(),
           scratch.sums.get());
    launch(d, device_kernel::attend_join, {shape.heads, n}, scratch.outputs.get(),
           scratch.sums.get(), first, shape.heads, shape.head_dim, chunks, at.position, view.window,
           &y);
  }
  return {};
}

void gate_elements(device& d, gate_function function, const device_memory& gate,
                   const device_memory& up, std::uint32_t n, const device_memory& out) {
  const device_kernel kernel =
      function == gate_function::silu ? device_kernel::swiglu : device_kernel::geglu;
  launch(d, kernel, {groups_of(n, elements_of_group)}, &gate, &up, n, &out);
}

void add_rows(device& d, const device_memory& a, const device_memory& b, std::uint32_t rows,
              std::uint32_t n, device_failures failed) {
  launch(d, device_kernel::add_rows, {groups_of(n, elements_of_group), rows}, &a, &b, n,
         failed.rows, failed.where);
}

result<device_memory_ptr> put_boundary_key(device& d) {
  const std::array<std::uint32_t, 8> key = domain_key(boundary_domain);
  return put(d, std::span<const std::uint32_t>{key});
}

result<void> digest_windows(device& d, device_memory_ptr& scratch, const device_memory& rows,
                            std::uint32_t dim, layer_index layer, const device_windows& windows,
                            const device_memory& digests, std::uint32_t to) {
  // Layer, window and dim stand before the rows, and how many these are behind them.
  const std::size_t bytes = (std::size_t{dim} * limits::window_positions + 4) * sizeof(float);
  const std::uint32_t chunks = groups_of(bytes, chunk_bytes_of_blake3);
  OVIR_TRY(grow(d, scratch, std::size_t{windows.count} * chunks * digest::size));
  launch(d, device_kernel::boundary_chunks, {groups_of(chunks, chunks_of_group), windows.count},
         &rows, dim, layer, windows.first_rows, windows.numbers, windows.key, scratch.get());
  launch(d, device_kernel::boundary_parents, {windows.count}, scratch.get(), chunks, windows.key,
         &digests, to);
  return {};
}

} // namespace ovir::compute
