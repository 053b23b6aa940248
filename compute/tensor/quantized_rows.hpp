#pragma once

#include "compute/tensor/tensor.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

/// The readable decoder of weight encodings: what each type's bytes mean as integers. Used by the
/// reference kernels, the embedding and the checks at load; fast kernels have their own.
namespace ovir::compute {

/// One block of a quantised row as integers. The value of element i in group g is
/// (block_scale * scale[g] * w[i] - min_scale * min[g]) * unit_of_products(type).
struct integer_block {
  std::int64_t block_scale{0}; ///< D = d * 2^24; of MXFP4 2^(e - 96), 0 where e is below
  std::int64_t min_scale{0};   ///< M = dmin * 2^24; -m * 2^24 for Q4_1 and Q5_1; 0 for others
  std::size_t groups{1};       ///< groups of equal length that share scale and min
  std::array<std::int32_t, 16> scale{1};
  std::array<std::int32_t, 16> min{};
  std::array<std::int32_t, 256> w{}; ///< first layout_of(type).block_elements are used
};

/// Precondition: a quantised type and usable scales (`check_weights`).
[[nodiscard]] integer_block decode_block(tensor_type type, const std::byte* block);

/// The weights of one block as integers, D * scale * w - M * min, in units of
/// `unit_of_products(type)`; below 2^53 in magnitude. `out` has the block's elements. Precondition:
/// that of `decode_block`.
void integer_weights(tensor_type type, const std::byte* block, std::int64_t* out);

/// Exponents that a block of MXFP4 may have, but where all its weights are zero: its weights are
/// multiples of 2^-32, and its scale as an integer of that stays within what sums were planned for.
inline constexpr std::uint8_t mxfp4_exponent_min = 96;
inline constexpr std::uint8_t mxfp4_exponent_max = 135;

/// Scales of a block as their fp16 bits, without decoding the rest: d, and dmin or 0. Precondition:
/// not MXFP4.
struct block_scales {
  std::uint16_t d;
  std::uint16_t dmin;
};
[[nodiscard]] block_scales scales_of(tensor_type type, const std::byte* block);

/// The eight 6-bit scales and mins of a Q4_K block, from its 12 packed bytes.
void unpack_q4_k_scales(const std::uint8_t* packed, std::uint8_t* scales, std::uint8_t* mins);

/// Element `i` of an F32, F16 or BF16 row.
[[nodiscard]] float float_element(tensor_type type, const std::byte* row, std::size_t i);

/// Row `row` of an embedding as binary32 (exact-1, section 4): each element an exact integer
/// rounded once, or an exact conversion. `out` has `w.cols` elements.
void embed_row(const weight& w, std::uint32_t row, float* out);

} // namespace ovir::compute
