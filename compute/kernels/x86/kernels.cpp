// The AVX2 and AVX-512 kernel sets: takes the containers apart and hands plain views to the files
// compiled for those processors. This file itself runs everywhere.
#include "compute/kernels/x86/kernels.hpp"

#include "compute/base/kernels_ask.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/formats/prepared_room.hpp"
#include "compute/kernels/formats/unpacked_rows.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/partial_sums.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace ovir::compute {

#if defined(__x86_64__)

// Kept, so that a step of decoding allocates nothing.
unsigned char* x86::room_to_prepare(const quantized_batch& x) {
  thread_local std::vector<std::byte> buffer;
  constexpr std::size_t line = 64;
  const std::size_t bytes = std::size_t{std::min(x.tokens, x86::panel_tokens)} *
                            ((x.cols + 255) / 256) * x86::prepared_bytes;
  buffer.resize(std::max(buffer.size(), bytes + line));
  void* at = buffer.data();
  std::size_t space = buffer.size();
  return static_cast<unsigned char*>(std::align(line, bytes, at, space));
}

bool x86::is_prepared(preparation* kept, const weight& w, const quantized_batch& x) noexcept {
  if (kept == nullptr) {
    return false;
  }
  if (x.tokens > panel_tokens) { // prepared so many at a time, each over those before
    *kept = {};
    return false;
  }
  const bool packed = w.packed != nullptr; // another product, which prepares at other times
  const bool same = kept->batch == &x && kept->type == w.type && kept->packed == packed;
  *kept = {&x, w.type, packed};
  return same;
}

namespace {

x86::matrix_view view_of(const weight& w) {
  static const x86::ask_policy asks = x86::asks_here();
  static const bool long_tiles = x86::prefers_long_tiles_here();
  return {.data = reinterpret_cast<const unsigned char*>(w.data),
          .row_bytes = w.row_bytes(),
          .cols = w.cols,
          .packed = reinterpret_cast<const unsigned char*>(w.packed),
          .panel_bytes = w.packed == nullptr ? 0 : packed_panel_bytes(w.type, w.cols),
          .group_rows = w.group_rows,
          .asks = asks,
          .long_tiles = long_tiles,
          .unit = unit_of_products(w.type)};
}

x86::batch_view view_of(const quantized_batch& x, bool is_prepared = false) {
  return {.q = x.q.data(),
          .k = x.k.data(),
          .m = x.m.data(),
          .sum = x.sum.data(),
          .u = x.u.data(),
          .tokens = x.tokens,
          .cols = x.cols,
          .scales = x.cols / x.scale_block(),
          .prepared = x86::room_to_prepare(x),
          .is_prepared = is_prepared};
}

/// A product of one type of weights.
template <class Product>
struct product_row {
  tensor_type type;
  Product* run;
};

/// The operations of one set that need adapting.
struct functions {
  std::array<product_row<x86::integer_product>, 8> integers;
  std::array<product_row<x86::float_product>, 3> floats;
  x86::quantize_function* quantize;
  x86::remainder_function* remainder;
  x86::attend_function* attend;
};

constexpr functions avx2_functions{.integers = {{{tensor_type::q8_0, avx2::product_q8_0},
                                                 {tensor_type::q4_0, avx2::product_q4_0},
                                                 {tensor_type::q4_k, avx2::product_q4_k},
                                                 {tensor_type::q6_k, avx2::product_q6_k},
                                                 {tensor_type::q2_k, avx2::product_q2_k},
                                                 {tensor_type::q3_k, avx2::product_q3_k},
                                                 {tensor_type::q5_k, avx2::product_q5_k},
                                                 {tensor_type::iq4_xs, avx2::product_iq4_xs}}},
                                   .floats = {{{tensor_type::f32, avx2::product_f32},
                                               {tensor_type::f16, avx2::product_f16},
                                               {tensor_type::bf16, avx2::product_bf16}}},
                                   .quantize = avx2::quantize,
                                   .remainder = avx2::remainder,
                                   .attend = avx2::attend};
constexpr functions avx512_functions{.integers = {{{tensor_type::q8_0, avx512::product_q8_0},
                                                   {tensor_type::q4_0, avx512::product_q4_0},
                                                   {tensor_type::q4_k, avx512::product_q4_k},
                                                   {tensor_type::q6_k, avx512::product_q6_k},
                                                   {tensor_type::q2_k, avx512::product_q2_k},
                                                   {tensor_type::q3_k, avx512::product_q3_k},
                                                   {tensor_type::q5_k, avx512::product_q5_k},
                                                   {tensor_type::iq4_xs, avx512::product_iq4_xs}}},
                                     .floats = {{{tensor_type::f32, avx512::product_f32},
                                                 {tensor_type::f16, avx512::product_f16},
                                                 {tensor_type::bf16, avx512::product_bf16}}},
                                     .quantize = avx512::quantize,
                                     .remainder = avx512::remainder,
                                     .attend = avx512::attend};

template <class Rows>
auto* product_for(const Rows& rows, tensor_type type) {
  const auto* const found =
      std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.type == type; });
  OVIR_CHECK(found != rows.end(), static_cast<std::uint32_t>(type));
  return found->run;
}

template <const functions& Set>
bool quantize(const float* x, quantized_batch& batch, std::uint32_t token) {
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
void remainder(const float* x, const quantized_batch& batch, std::uint32_t token, float* out) {
  Set.remainder(x, view_of(batch), token, out);
}

/// Where the products of a batch go.
struct product_output {
  float* y{nullptr};
  std::int64_t* sums{nullptr}; ///< in place of `y`, where it is not null
  std::size_t stride{0};
};

/// Rows of bytes. Rows that nobody unpacked at load are unpacked a few at a time, small enough to
/// stay in the second-level cache until all tokens met them.
void product_unpacked(const weight& w, std::uint32_t row_first, std::uint32_t row_last,
                      const quantized_batch& x, const product_output& out) {
  constexpr std::size_t buffer_bytes = std::size_t{128} << 10U;
  x86::integer_product* const run =
      x.form == activation_form::a32 ? avx2::product_unpacked_32 : avx2::product_unpacked_256;
  x86::matrix_view rows = view_of(w);
  rows.row_bytes = unpacked_row_bytes(w.type, w.cols);
  x86::batch_view batch = view_of(x);
  batch.sums = out.sums;
  if (w.packed != nullptr) {
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
  if (is_unpacked(w.type) || (w.packed == nullptr && !has_row_kernel(w.type))) {
    if (kept != nullptr) {
      *kept = {}; // these prepare nothing, but may move the room
    }
    product_unpacked(w, row_first, row_last, x, out);
    return;
  }
  x86::batch_view batch = view_of(x, x86::is_prepared(kept, w, x));
  batch.sums = out.sums;
  product_for(Set.integers, w.type)(view_of(w), row_first, row_last, batch, out.y, out.stride);
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
void product_float(const weight& w, std::uint32_t row_first, std::uint32_t row_last, const float* x,
                   std::size_t x_stride, std::uint32_t tokens, float* y, std::size_t y_stride) {
  product_for(Set.floats, w.type)(view_of(w), row_first, row_last,
                                  {x, x_stride, tokens, y, y_stride});
}

template <const functions& Set>
void attend(const attention_task& task) {
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

} // namespace

const kernel_set* kernels_avx2() noexcept {
  static constexpr kernel_set set{.id = isa::avx2,
                                  .name = "avx2",
                                  .quantize = quantize<avx2_functions>,
                                  .remainder = remainder<avx2_functions>,
                                  .product = product<avx2_functions>,
                                  .product_float = product_float<avx2_functions>,
                                  .rms_norm = avx2::rms_norm,
                                  .swiglu = avx2::swiglu,
                                  .rotate = avx2::rotate,
                                  .attend = attend<avx2_functions>,
                                  .add = avx2::add,
                                  .to_half = avx2::to_half};
  return &set;
}

const kernel_set* kernels_avx512() noexcept {
  static constexpr kernel_set set{.id = isa::avx512,
                                  .name = "avx512",
                                  .quantize = quantize<avx512_functions>,
                                  .remainder = remainder<avx512_functions>,
                                  .product = product<avx512_functions>,
                                  .product_float = product_float<avx512_functions>,
                                  .rms_norm = avx512::rms_norm,
                                  .swiglu = avx512::swiglu,
                                  .rotate = avx512::rotate,
                                  .attend = attend<avx512_functions>,
                                  .add = avx512::add,
                                  .to_half = avx512::to_half};
  return &set;
}

void product_sums(const kernel_set& kernels, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols && !w.wide, w.cols, x.cols);
  const product_output out{.sums = sums, .stride = stride};
  switch (kernels.id) {
  case isa::reference: product_sums_reference(w, row_first, row_last, x, sums, stride); break;
  case isa::avx2: product_to<avx2_functions>(w, row_first, row_last, x, out, nullptr); break;
  case isa::avx512: product_to<avx512_functions>(w, row_first, row_last, x, out, nullptr); break;
  }
}

#else

const kernel_set* kernels_avx2() noexcept { return nullptr; }
const kernel_set* kernels_avx512() noexcept { return nullptr; }

void product_sums(const kernel_set& /*kernels*/, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride) {
  product_sums_reference(w, row_first, row_last, x, sums, stride);
}

#endif

} // namespace ovir::compute
