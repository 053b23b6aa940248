// The AVX2 and AVX-512 kernel sets. This file itself runs on every x86-64 processor.
#include "compute/kernels/x86/kernels.hpp"

#include "compute/base/kernels_ask.hpp"
#include "compute/kernels/formats/prepared_room.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/partial_sums.hpp"
#include "compute/kernels/x86/adapted.hpp"
#include "messages/check.hpp"

#include <algorithm>
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

/// Asked once, because a virtual machine takes long to answer.
const x86::policies_here& policies() noexcept {
  static const x86::policies_here here{x86::asks_here(), x86::prefers_long_tiles_here()};
  return here;
}

constexpr x86::functions avx2_functions{.integers = {{{tensor_type::q8_0, avx2::product_q8_0},
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
                                        .attend = avx2::attend,
                                        .unpacked_32 = avx2::product_unpacked_32,
                                        .unpacked_256 = avx2::product_unpacked_256,
                                        .reads_rows = true,
                                        .prepares = true,
                                        .policies = policies};
constexpr x86::functions avx512_functions{
    .integers = {{{tensor_type::q8_0, avx512::product_q8_0},
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
    .attend = avx512::attend,
    .unpacked_32 = avx2::product_unpacked_32,
    .unpacked_256 = avx2::product_unpacked_256,
    .reads_rows = true,
    .prepares = true,
    .policies = policies};

} // namespace

const kernel_set* kernels_avx2() noexcept {
  static constexpr kernel_set set{.id = isa::avx2,
                                  .name = "avx2",
                                  .quantize = x86::quantize_row<avx2_functions>,
                                  .remainder = x86::remainder_row<avx2_functions>,
                                  .product = x86::product<avx2_functions>,
                                  .product_float = x86::product_floats<avx2_functions>,
                                  .rms_norm = avx2::rms_norm,
                                  .swiglu = avx2::swiglu,
                                  .rotate = avx2::rotate,
                                  .attend = x86::attend_task<avx2_functions>,
                                  .add = avx2::add,
                                  .to_half = avx2::to_half};
  return &set;
}

const kernel_set* kernels_avx512() noexcept {
  static constexpr kernel_set set{.id = isa::avx512,
                                  .name = "avx512",
                                  .quantize = x86::quantize_row<avx512_functions>,
                                  .remainder = x86::remainder_row<avx512_functions>,
                                  .product = x86::product<avx512_functions>,
                                  .product_float = x86::product_floats<avx512_functions>,
                                  .rms_norm = avx512::rms_norm,
                                  .swiglu = avx512::swiglu,
                                  .rotate = avx512::rotate,
                                  .attend = x86::attend_task<avx512_functions>,
                                  .add = avx512::add,
                                  .to_half = avx512::to_half};
  return &set;
}

void product_sums(const kernel_set& kernels, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols && !w.wide, w.cols, x.cols);
  const x86::product_output out{.sums = sums, .stride = stride};
  switch (kernels.id) {
  case isa::avx2: x86::product_to<avx2_functions>(w, row_first, row_last, x, out, nullptr); break;
  case isa::avx512:
    x86::product_to<avx512_functions>(w, row_first, row_last, x, out, nullptr);
    break;
  default: product_sums_reference(w, row_first, row_last, x, sums, stride); break;
  }
}

#else

const kernel_set* kernels_avx2() noexcept { return nullptr; }
const kernel_set* kernels_avx512() noexcept { return nullptr; }

#endif

#if !defined(__x86_64__) && !defined(__aarch64__)

void product_sums(const kernel_set& /*kernels*/, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride) {
  product_sums_reference(w, row_first, row_last, x, sums, stride);
}

#endif

} // namespace ovir::compute
