// Encodings by fixed steps. Q4_1: d, m, 16 bytes of nibbles; Q5_0: d, 32 fifth bits, nibbles; Q5_1:
// d, m, fifth bits, nibbles. Nibbles: low ones are elements 0..15, high ones 16..31. Q2_K: 16 bytes
// of scale and min nibbles, 64 of pairs of bits, d, dmin. Q3_K: 32 bytes of third bits, 64 of
// pairs, 12 of sixteen 6-bit scales, d. Q5_K: d, dmin, 12 bytes of scales and mins, 32 of fifth
// bits, 128 of nibbles.
#include "compute/tensor/quantized_rows.hpp"

#include <cstring>

namespace ovir::compute {

namespace {

std::int32_t byte_at(const std::byte* p, std::size_t i) {
  return std::to_integer<std::int32_t>(p[i]);
}

/// 32 weights of four bits and, where `fifth` is given, one more.
void decode_32(const std::byte* nibbles, const std::byte* fifth, std::int32_t bias,
               integer_block& out) {
  std::uint32_t high = 0;
  if (fifth != nullptr) {
    std::memcpy(&high, fifth, sizeof high);
  }
  for (std::size_t i = 0; i < 32; ++i) {
    const std::int32_t byte = byte_at(nibbles, i % 16);
    const std::int32_t low = i < 16 ? byte & 15 : byte >> 4;
    out.w[i] = (low | static_cast<std::int32_t>(high >> i & 1U) << 4) - bias;
  }
}

/// Pairs of bits: two halves of 128 elements, in each four runs of 32 that share 32 bytes.
std::int32_t pair_of(const std::byte* pairs, std::size_t i) {
  return byte_at(pairs, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
}

/// Q4_1 and Q5_1 add m, where the K-quants subtract mins.
void add_m(integer_block& out) {
  out.min_scale = -out.min_scale;
  out.min[0] = 1;
}

} // namespace

void unpack_q4_k_scales(const std::uint8_t* packed, std::uint8_t* scales, std::uint8_t* mins) {
  for (std::size_t j = 0; j < 4; ++j) {
    scales[j] = packed[j] & 63U;
    mins[j] = packed[j + 4] & 63U;
    scales[j + 4] =
        static_cast<std::uint8_t>((packed[j + 8] & 15U) | (unsigned{packed[j]} >> 6U) << 4U);
    mins[j + 4] =
        static_cast<std::uint8_t>((packed[j + 8] >> 4U) | (unsigned{packed[j + 4]} >> 6U) << 4U);
  }
}

void decode_q8_0(const std::byte* block, integer_block& out) {
  for (std::size_t i = 0; i < 32; ++i) {
    out.w[i] = static_cast<std::int8_t>(block[layout::q8_0_block::weights + i]);
  }
}

void decode_q4_0(const std::byte* block, integer_block& out) {
  for (std::size_t i = 0; i < 16; ++i) {
    const auto byte = static_cast<std::uint8_t>(block[layout::q4_0_block::nibbles + i]);
    out.w[i] = (byte & 15) - 8;
    out.w[16 + i] = (byte >> 4) - 8;
  }
}

void decode_q4_k(const std::byte* block, integer_block& out) {
  std::array<std::uint8_t, 8> scales{};
  std::array<std::uint8_t, 8> mins{};
  unpack_q4_k_scales(reinterpret_cast<const std::uint8_t*>(block + layout::q4_k_block::scales),
                     scales.data(), mins.data());
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    out.scale[g] = scales[g];
    out.min[g] = mins[g];
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const auto byte =
        static_cast<std::uint8_t>(block[layout::q4_k_block::nibbles + i / 64 * 32 + i % 32]);
    out.w[i] = i % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

void decode_q6_k(const std::byte* block, integer_block& out) {
  out.groups = 16;
  for (std::size_t g = 0; g < 16; ++g) {
    out.scale[g] = static_cast<std::int8_t>(block[layout::q6_k_block::scales + g]);
  }
  for (std::size_t i = 0; i < 256; ++i) {
    // Two halves of 128; in each, four runs of 32: runs 0 and 2 share the low bytes 0..31 (low and
    // high nibble), runs 1 and 3 the low bytes 32..63; the high bits of run r are bits 2r, 2r + 1.
    const std::size_t half = i / 128;
    const std::size_t run = i % 128 / 32;
    const std::size_t lane = i % 32;
    const auto low = static_cast<std::uint8_t>(block[half * 64 + run % 2 * 32 + lane]);
    const auto high = static_cast<std::uint8_t>(block[layout::q6_k_block::high + half * 32 + lane]);
    const int nibble = run < 2 ? low & 15 : low >> 4;
    out.w[i] = (nibble | ((high >> (2 * run)) & 3) << 4) - 32;
  }
}

void decode_q4_1(const std::byte* block, integer_block& out) {
  decode_32(block + 4, nullptr, 0, out);
  add_m(out);
}

void decode_q5_0(const std::byte* block, integer_block& out) {
  decode_32(block + 6, block + 2, 16, out);
}

void decode_q5_1(const std::byte* block, integer_block& out) {
  decode_32(block + 8, block + 4, 0, out);
  add_m(out);
}

void decode_q2_k(const std::byte* block, integer_block& out) {
  out.groups = 16;
  for (std::size_t g = 0; g < 16; ++g) {
    out.scale[g] = byte_at(block, g) & 15;
    out.min[g] = byte_at(block, g) >> 4;
  }
  for (std::size_t i = 0; i < 256; ++i) {
    out.w[i] = pair_of(block + layout::q2_k_block::pairs, i);
  }
}

void decode_q3_k(const std::byte* block, integer_block& out) {
  const std::byte* const scales = block + layout::q3_k_block::scales;
  out.groups = 16;
  for (std::size_t g = 0; g < 16; ++g) {
    const std::int32_t low = g < 8 ? byte_at(scales, g) & 15 : byte_at(scales, g - 8) >> 4;
    const std::int32_t high = byte_at(scales, 8 + g % 4) >> (g / 4 * 2) & 3;
    out.scale[g] = (low | high << 4) - 32;
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const std::int32_t third = byte_at(block, i % 32) >> (i / 32) & 1;
    out.w[i] = pair_of(block + layout::q3_k_block::pairs, i) - (third != 0 ? 0 : 4);
  }
}

void decode_q5_k(const std::byte* block, integer_block& out) {
  std::array<std::uint8_t, 8> scales{};
  std::array<std::uint8_t, 8> mins{};
  unpack_q4_k_scales(reinterpret_cast<const std::uint8_t*>(block + layout::q5_k_block::scales),
                     scales.data(), mins.data());
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    out.scale[g] = scales[g];
    out.min[g] = mins[g];
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const std::int32_t byte = byte_at(block, layout::q5_k_block::nibbles + i / 64 * 32 + i % 32);
    const std::int32_t fifth = byte_at(block, layout::q5_k_block::fifths + i % 32) >> (i / 32) & 1;
    out.w[i] = (i % 64 < 32 ? byte & 15 : byte >> 4) | fifth << 4;
  }
}

} // namespace ovir::compute
