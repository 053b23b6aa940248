#pragma once

#include "compute/base/kernels_ask.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/prepared_room.hpp"
#include "compute/kernels/formats/unpacked_rows.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/x86/kernels.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <vector>

/// How a fast set becomes a `kernel_set`: containers are taken apart, and plain views go to the
/// files that are compiled for one instruction set. Only files for every processor include this.
namespace ovir::compute::x86 {

/// What was measured to be fastest on this processor.
struct policies_here {
  ask_policy asks;
  bool long_tiles;
};

/// A product of one type of weights.
template <class Product>
struct product_row {
  tensor_type type;
  Product* run;
};

/// The operations of one set that need adapting.
struct functions {
  std::array<product_row<integer_product>, 8> integers;
  std::array<product_row<float_product>, 3> floats;
  quantize_function* quantize;
  remainder_function* remainder;
  attend_function* attend;
  integer_product* unpacked_32;
  integer_product* unpacked_256;
  bool reads_rows; ///< the products of `integers` know rows that nobody packed, where a type has
                   ///< that
  bool prepares;   ///< they need `batch_view::prepared`
  const policies_here& (*policies)() noexcept;
};

template <const functions& Set>
matrix_view view_of(const weight& w) {
  const policies_here& here = Set.policies();
  return {.data = reinterpret_cast<const unsigned char*>(w.data),
          .row_bytes = w.row_bytes(),
          .cols = w.cols,
          .packed = reinterpret_cast<const unsigned char*>(w.packed),
          .panel_bytes = w.packed == nullptr ? 0 : packed_panel_bytes(w.type, w.cols),
          .group_rows = w.group_rows,
          .asks = here.asks,
          .long_tiles = here.long_tiles,
          .unit = unit_of_products(w.type)};
}

template <const functions& Set>
batch_view view_of(const quantized_batch& x, bool is_prepared = false) {
  unsigned char* room = nullptr;
  if constexpr (Set.prepares) {
    room = room_to_prepare(x);
  }
  return {.q = x.q.data(),
          .k = x.k.data(),
          .m = x.m.data(),
          .sum = x.sum.data(),
          .u = x.u.data(),
          .tokens = x.tokens,
          .cols = x.cols,
          .scales = x.cols / x.scale_block(),
          .prepared = room,
          .is_prepared = is_prepared};
}

template <class Rows>
auto* product_for(const Rows& rows, tensor_type type) {
  const auto* const found =
      std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.type == type; });
  OVIR_CHECK(found != rows.end(), static_cast<std::uint32_t>(type));
  return found->run;
}

template <const functions& Set>
bool quantize_row(const float* x, quantized_batch& batch, std::uint32_t token) {
  const std::size_t scales = batch.cols / batch.scale_block();
  const std::size_t blocks = batch.cols / 32;
  return Set.quantize(x, {.q = batch.q.data() + std::size_t{token} * batch.cols,
                          .k = batch.k.data() + token * scales,
                          .m = batch.m.data() + token * blocks,
                          .sum = batch.sum.data() + token * blocks,
                          .u = batch.u.data() + token,
                          .cols = batch.cols,
                          .a256 = batch.form == activation_form::a256});
}

template <const functions& Set>
void remainder_row(const float* x, const quantized_batch& batch, std::uint32_t token, float* out) {
  Set.remainder(x, view_of<Set>(batch), token, out);
}

/// Where the products of a batch go.
struct product_output {
  float* y{nullptr};
  std::int64_t* sums{nullptr}; ///< in place of `y`, where it is not null
  std::size_t stride{0};
};

/// Rows of bytes. Rows that nobody unpacked at load are unpacked a few at a time, small enough to
/// stay in the second-level cache until all tokens met them.
template <const functions& Set>
void product_unpacked(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                      const quantized_batch& x, const product_output& out) {
  constexpr std::size_t buffer_bytes = std::size_t{128} << 10U;
  integer_product* const run = x.form == activation_form::a32 ? Set.unpacked_32 : Set.unpacked_256;
  matrix_view rows = view_of<Set>(w);
  rows.row_bytes = unpacked_row_bytes(w.type, w.cols);
  batch_view batch = view_of<Set>(x);
  batch.sums = out.sums;
  if (w.packed != nullptr && is_unpacked(w.type)) {
    rows.data = rows.packed;
    run(rows, row_first, row_last, batch, out.y, out.stride);
    return;
  }
  thread_local std::vector<std::byte> buffer; // kept, so that a step of decoding allocates nothing
  const auto together =
      static_cast<std::uint32_t>(std::max<std::size_t>(1, buffer_bytes / rows.row_bytes));
  for (std::uint32_t row = row_first; row < row_last; row += together) {
    const std::uint32_t count = std::min(together, row_last - row);
    buffer.resize(std::max(buffer.size(), count * rows.row_bytes));
    for (std::uint32_t i = 0; i < count; ++i) {
      unpack_row(w.type, w.row(row + i), w.cols, buffer.data() + i * rows.row_bytes);
    }
    rows.data = reinterpret_cast<const unsigned char*>(buffer.data());
    batch.sums = out.sums == nullptr ? nullptr : out.sums + row;
    run(rows, 0, count, batch, out.sums == nullptr ? out.y + row : nullptr, out.stride);
  }
}

/// Precondition: not `wide`.
template <const functions& Set>
void product_to(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                const quantized_batch& x, const product_output& out, preparation* kept) {
  const bool by_rows = Set.reads_rows && has_row_kernel(w.type);
  if (is_unpacked(w.type) || (w.packed == nullptr && !by_rows)) {
    if (kept != nullptr) {
      *kept = {}; // these prepare nothing, but may move the room
    }
    product_unpacked<Set>(w, row_first, row_last, x, out);
    return;
  }
  bool prepared = false;
  if constexpr (Set.prepares) {
    prepared = is_prepared(kept, w, x);
  }
  batch_view batch = view_of<Set>(x, prepared);
  batch.sums = out.sums;
  product_for(Set.integers, w.type)(view_of<Set>(w), row_first, row_last, batch, out.y, out.stride);
}

template <const functions& Set>
void product(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
             const quantized_batch& x, float* y, std::size_t y_stride, preparation* kept) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols, w.cols, x.cols);
  if (w.wide) {
    // Rare, and 128-bit sums have no vector form: the reference gives the same integers.
    kernels_reference().product(w, row_first, row_last, x, y, y_stride, nullptr);
    return;
  }
  product_to<Set>(w, row_first, row_last, x, {.y = y, .stride = y_stride}, kept);
}

template <const functions& Set>
void product_floats(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                    const float* x, std::size_t x_stride, std::uint32_t tokens, float* y,
                    std::size_t y_stride) {
  product_for(Set.floats, w.type)(view_of<Set>(w), row_first, row_last,
                                  {x, x_stride, tokens, y, y_stride});
}

template <const functions& Set>
void attend_task(const attention_task& task) {
  Set.attend({.query = task.query,
              .keys = task.keys,
              .values = task.values,
              .stride = task.stride,
              .positions = task.positions,
              .first = task.first,
              .head_dim = task.head_dim,
              .heads = task.heads,
              .scale = task.scale,
              .cap = task.cap,
              .scores = task.scores,
              .output = task.output});
}

} // namespace ovir::compute::x86
