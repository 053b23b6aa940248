// The kernel sets of aarch64. Float operations are NEON's in all three. This file itself runs on
// every such processor.
#include "compute/kernels/arm/kernels.hpp"

#include "compute/kernels/kernels.hpp"
#include "compute/kernels/partial_sums.hpp"
#include "compute/kernels/x86/adapted.hpp"
#include "messages/check.hpp"

namespace ovir::compute {

#if defined(__aarch64__)

namespace {

/// Nothing was measured on these processors so far.
const x86::policies_here& policies() noexcept {
  static constexpr x86::policies_here here{
      {~0U, x86::ask_into::nothing, x86::ask_into::nothing, false}, false};
  return here;
}

using integer_rows = std::array<x86::product_row<x86::integer_product>, 8>;

constexpr x86::functions functions_of(const integer_rows& integers,
                                      x86::integer_product* unpacked_32,
                                      x86::integer_product* unpacked_256) {
  return {.integers = integers,
          .floats = {{{tensor_type::f32, neon::product_f32},
                      {tensor_type::f16, neon::product_f16},
                      {tensor_type::bf16, neon::product_bf16}}},
          .quantize = neon::quantize,
          .remainder = neon::remainder,
          .attend = neon::attend,
          .unpacked_32 = unpacked_32,
          .unpacked_256 = unpacked_256,
          .reads_rows = false,
          .prepares = false,
          .policies = policies};
}

constexpr x86::functions neon_functions =
    functions_of({{{tensor_type::q8_0, neon::product_q8_0},
                   {tensor_type::q4_0, neon::product_q4_0},
                   {tensor_type::q4_k, neon::product_q4_k},
                   {tensor_type::q6_k, neon::product_q6_k},
                   {tensor_type::q2_k, neon::product_q2_k},
                   {tensor_type::q3_k, neon::product_q3_k},
                   {tensor_type::q5_k, neon::product_q5_k},
                   {tensor_type::iq4_xs, neon::product_iq4_xs}}},
                 neon::product_unpacked_32, neon::product_unpacked_256);
constexpr x86::functions dotprod_functions =
    functions_of({{{tensor_type::q8_0, dotprod::product_q8_0},
                   {tensor_type::q4_0, dotprod::product_q4_0},
                   {tensor_type::q4_k, dotprod::product_q4_k},
                   {tensor_type::q6_k, dotprod::product_q6_k},
                   {tensor_type::q2_k, dotprod::product_q2_k},
                   {tensor_type::q3_k, dotprod::product_q3_k},
                   {tensor_type::q5_k, dotprod::product_q5_k},
                   {tensor_type::iq4_xs, dotprod::product_iq4_xs}}},
                 dotprod::product_unpacked_32, dotprod::product_unpacked_256);
constexpr x86::functions i8mm_functions =
    functions_of({{{tensor_type::q8_0, i8mm::product_q8_0},
                   {tensor_type::q4_0, i8mm::product_q4_0},
                   {tensor_type::q4_k, i8mm::product_q4_k},
                   {tensor_type::q6_k, i8mm::product_q6_k},
                   {tensor_type::q2_k, i8mm::product_q2_k},
                   {tensor_type::q3_k, i8mm::product_q3_k},
                   {tensor_type::q5_k, i8mm::product_q5_k},
                   {tensor_type::iq4_xs, i8mm::product_iq4_xs}}},
                 dotprod::product_unpacked_32, dotprod::product_unpacked_256);

template <const x86::functions& Set>
constexpr kernel_set set_of(isa id, std::string_view name) {
  return {.id = id,
          .name = name,
          .quantize = x86::quantize_row<Set>,
          .remainder = x86::remainder_row<Set>,
          .product = x86::product<Set>,
          .product_float = x86::product_floats<Set>,
          .rms_norm = neon::rms_norm,
          .swiglu = neon::swiglu,
          .rotate = neon::rotate,
          .attend = x86::attend_task<Set>,
          .add = neon::add,
          .to_half = neon::to_half};
}

constexpr kernel_set neon_set = set_of<neon_functions>(isa::neon, "neon");
constexpr kernel_set dotprod_set = set_of<dotprod_functions>(isa::dotprod, "dotprod");
constexpr kernel_set i8mm_set = set_of<i8mm_functions>(isa::i8mm, "i8mm");

} // namespace

const kernel_set* kernels_arm(isa id) noexcept {
  switch (id) {
  case isa::neon: return &neon_set;
  case isa::dotprod: return &dotprod_set;
  case isa::i8mm: return &i8mm_set;
  default: return nullptr;
  }
}

void product_sums(const kernel_set& kernels, const weight& w, std::uint32_t row_first,
                  std::uint32_t row_last, const quantized_batch& x, std::int64_t* sums,
                  std::size_t stride) {
  OVIR_CHECK(form_for(w.type) == x.form && w.cols == x.cols && !w.wide, w.cols, x.cols);
  const x86::product_output out{.sums = sums, .stride = stride};
  switch (kernels.id) {
  case isa::neon: x86::product_to<neon_functions>(w, row_first, row_last, x, out, nullptr); break;
  case isa::dotprod:
    x86::product_to<dotprod_functions>(w, row_first, row_last, x, out, nullptr);
    break;
  case isa::i8mm: x86::product_to<i8mm_functions>(w, row_first, row_last, x, out, nullptr); break;
  default: product_sums_reference(w, row_first, row_last, x, sums, stride); break;
  }
}

#else

const kernel_set* kernels_arm(isa /*id*/) noexcept { return nullptr; }

#endif

} // namespace ovir::compute
