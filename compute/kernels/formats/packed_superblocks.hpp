#pragma once

#include "compute/tensor/tensor.hpp"

#include <cstddef>

/// Superblocks of sixteen rows in the order in which the fast kernels read them. A line is a dword
/// of every row, [row][4]. The same bits as in the file: see block_decoders.cpp for what they mean.
///
/// Q4_K: a line of 16 d and 16 dmin (fp16); the three dwords of packed scales, each with its two
/// bytes in the middle exchanged; the 32 of nibbles.
///
/// Q5_K: as Q4_K, but that before each 8 lines of nibbles, which are of 64 elements, there are two
/// of fifth bits: element 32 s + 4 i + b of the 64 has bit 4 s + i % 4 of byte b in line i / 4.
///
/// Q6_K: 16 d and 32 zeros; the 16 scales, [scale][row]; four quarters of 64 elements, each 8
/// dwords of low nibbles (the low half of a byte is of the first 32 elements) of which the first 4
/// are each followed by one of high bits (two of each run of 16 elements).
///
/// Q2_K: 16 d, 16 dmin; 4 lines of scales and mins, each with its two bytes in the middle
/// exchanged; 16 of pairs of bits, one for each 16 elements: element 4 i + b has bits 2 i of byte
/// b.
///
/// Q3_K: 16 d and 32 zeros; 3 lines of packed scales, exchanged like Q4_K's; for each 32 elements a
/// line of third bits and two of pairs, as Q2_K's. Element 4 i + b of the 32 has its third bit in
/// bit i of byte b.
///
/// IQ4_XS: 16 d, 16 times the two bytes of high bits of scales; a line of their low nibbles; 32 of
/// nibbles.
namespace ovir::compute {

/// Bytes of a superblock of sixteen rows. Precondition: a type named above.
[[nodiscard]] std::size_t packed_superblock_bytes(tensor_type type) noexcept;

/// Writes the superblock at `data` as row `row` of those at `out`, whose bytes of this row are
/// zero.
void pack_superblock(tensor_type type, const std::byte* data, std::size_t row,
                     std::byte* out) noexcept;

} // namespace ovir::compute
