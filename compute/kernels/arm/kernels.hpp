#pragma once

#include "compute/kernels/x86/kernels.hpp"

#include <cstddef>
#include <cstdint>

/// What crosses into files compiled for aarch64, of which those in dotprod/ and i8mm/ get
/// instructions that not every such processor has (docs/adr/0054-aarch64.md). The views are those
/// of the x86 kernels: they say nothing of a processor. The rules for such files are, too: no
/// standard container and no inline function that the linker could choose for the whole program.
namespace ovir::compute::arm {

/// Columns of a panel that are unpacked and multiplied at once.
inline constexpr std::uint32_t panel_cols = 256;
/// Rows of a panel of packed weights.
inline constexpr std::uint32_t panel_rows = 16;
/// A dword of every row, [row][4].
inline constexpr std::uint32_t line_bytes = panel_rows * 4;

/// Up to 256 columns of sixteen rows of weights, whatever their type. The value of an element of a
/// type in superblocks is d[0] * scale * w - m * min, of another d[block] * w, in units of 2^-24.
struct panel {
  alignas(64) std::int8_t w[panel_cols / 4][line_bytes];
  alignas(64) std::int32_t scale[16][panel_rows]; ///< of a superblock's groups
  alignas(64) std::int32_t min[16][panel_rows];
  alignas(64) std::int32_t d[8][panel_rows]; ///< of the superblock, or of each block of 32
  alignas(64) std::int32_t m[panel_rows];
};

/// Writes `cols` columns, whole blocks and at most `panel_cols`, of packed weights
/// (formats/packed_weights.hpp) to `out`: what the type has of it.
using unpack_function = void(const unsigned char* packed, std::uint32_t cols, panel& out);

} // namespace ovir::compute::arm

namespace ovir::compute::neon {
arm::unpack_function unpack_q8_0, unpack_q4_0, unpack_q4_k, unpack_q6_k;
arm::unpack_function unpack_q2_k, unpack_q3_k, unpack_q5_k, unpack_iq4_xs;

x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k; ///< packed only
x86::integer_product product_q2_k, product_q3_k, product_q5_k, product_iq4_xs;
x86::integer_product product_unpacked_32, product_unpacked_256; ///< rows of unpacked_rows.hpp
x86::float_product product_f32, product_f16, product_bf16;
x86::quantize_function quantize;
x86::remainder_function remainder;
x86::rms_norm_function rms_norm;
x86::swiglu_function swiglu;
x86::rotate_function rotate;
x86::attend_function attend;
x86::add_function add;
x86::to_half_function to_half;
std::uint64_t peak_multiply(std::uint64_t rounds);
} // namespace ovir::compute::neon

namespace ovir::compute::dotprod {
x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k;
x86::integer_product product_q2_k, product_q3_k, product_q5_k, product_iq4_xs;
x86::integer_product product_unpacked_32, product_unpacked_256;
std::uint64_t peak_multiply(std::uint64_t rounds);
} // namespace ovir::compute::dotprod

namespace ovir::compute::i8mm {
x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k;
x86::integer_product product_q2_k, product_q3_k, product_q5_k, product_iq4_xs;
std::uint64_t peak_multiply(std::uint64_t rounds);
} // namespace ovir::compute::i8mm
