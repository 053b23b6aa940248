#pragma once

#include "compute/tensor/tensor.hpp"

#include <cstddef>
#include <cstdint>

/// Rows of quantised weights as bytes: what the fast kernels read of every type that has no kernel
/// of its own, and of some others while nobody packed their weights (tensor.hpp,
/// docs/adr/0002-kernels.md). The same integers as `decode_block`
/// gives, so products are the same.
///
/// Of a type scaled per 32, a block is D and M (int32 each), then 32 weights (int8). Of the others
/// it is D and M, 16 scales (int8) and 16 mins (int8), one for every 16 elements, and 256 weights.
/// Little-endian. A product then is
///   sum over blocks of k * (D * sum of scale * m * dot - M * sum of min * m * sum of q).
namespace ovir::compute {

/// Bytes of a block of each form.
inline constexpr std::size_t unpacked_32_bytes = 8 + 32;
inline constexpr std::size_t unpacked_256_bytes = 8 + 16 + 16 + 256;

/// Bytes of a row of `cols` elements. Precondition: a quantised type, whole blocks.
[[nodiscard]] std::size_t unpacked_row_bytes(tensor_type type, std::uint32_t cols) noexcept;

/// Writes one row. Precondition: the scales of its blocks fit 32 bits (the weight is not `wide`).
void unpack_row(tensor_type type, const std::byte* row, std::uint32_t cols, std::byte* out);

} // namespace ovir::compute
