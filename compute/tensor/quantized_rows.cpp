#include "compute/tensor/quantized_rows.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/tensor/block_decoders.hpp"
#include "messages/check.hpp"

#include <cstring>

namespace ovir::compute {

namespace {

std::uint16_t load_u16(const std::byte* p) {
  std::uint16_t value{};
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Byte layouts. Q8_0: d, 32 x int8. Q4_0: d, 16 bytes, low nibbles = elements 0..15, high nibbles =
// 16..31. Q4_K: d, dmin, 12 bytes of scales and mins, 128 bytes: each 32 bytes hold 64 elements,
// low nibbles first. Q6_K: 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 x int8
// scales, d.
constexpr std::size_t q4_k_scales_at = 4;
constexpr std::size_t q4_k_nibbles_at = 16;
constexpr std::size_t q6_k_high_at = 128;
constexpr std::size_t q6_k_scales_at = 192;
constexpr std::size_t q6_k_d_at = 208;

void decode_q8_0(const std::byte* block, integer_block& out) {
  for (std::size_t i = 0; i < 32; ++i) {
    out.w[i] = static_cast<std::int8_t>(block[2 + i]);
  }
}

void decode_q4_0(const std::byte* block, integer_block& out) {
  for (std::size_t i = 0; i < 16; ++i) {
    const auto byte = static_cast<std::uint8_t>(block[2 + i]);
    out.w[i] = (byte & 15) - 8;
    out.w[16 + i] = (byte >> 4) - 8;
  }
}

void decode_q4_k(const std::byte* block, integer_block& out) {
  std::array<std::uint8_t, 8> scales{};
  std::array<std::uint8_t, 8> mins{};
  unpack_q4_k_scales(reinterpret_cast<const std::uint8_t*>(block + q4_k_scales_at), scales.data(),
                     mins.data());
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    out.scale[g] = scales[g];
    out.min[g] = mins[g];
  }
  for (std::size_t i = 0; i < 256; ++i) {
    const auto byte = static_cast<std::uint8_t>(block[q4_k_nibbles_at + i / 64 * 32 + i % 32]);
    out.w[i] = i % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

void decode_q6_k(const std::byte* block, integer_block& out) {
  out.groups = 16;
  for (std::size_t g = 0; g < 16; ++g) {
    out.scale[g] = static_cast<std::int8_t>(block[q6_k_scales_at + g]);
  }
  for (std::size_t i = 0; i < 256; ++i) {
    // Two halves of 128; in each, four runs of 32: runs 0 and 2 share the low bytes 0..31 (low and
    // high nibble), runs 1 and 3 the low bytes 32..63; the high bits of run r are bits 2r, 2r + 1.
    const std::size_t half = i / 128;
    const std::size_t run = i % 128 / 32;
    const std::size_t lane = i % 32;
    const auto low = static_cast<std::uint8_t>(block[half * 64 + run % 2 * 32 + lane]);
    const auto high = static_cast<std::uint8_t>(block[q6_k_high_at + half * 32 + lane]);
    const int nibble = run < 2 ? low & 15 : low >> 4;
    out.w[i] = (nibble | ((high >> (2 * run)) & 3) << 4) - 32;
  }
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

scale_places scale_places_of(tensor_type type) {
  switch (type) {
  case tensor_type::q4_1:
  case tensor_type::q5_1:
  case tensor_type::q4_k:
  case tensor_type::q5_k: return {0, 2};
  case tensor_type::q2_k: return {80, 82};
  case tensor_type::q3_k: return {108, {}};
  case tensor_type::q6_k: return {q6_k_d_at, {}};
  default: break;
  }
  OVIR_CHECK(form_for(type) != activation_form::floats, static_cast<std::uint32_t>(type));
  return {0, {}};
}

block_scales scales_of(tensor_type type, const std::byte* block) {
  const scale_places places = scale_places_of(type);
  return {load_u16(block + places.d),
          places.dmin ? load_u16(block + *places.dmin) : std::uint16_t{0}};
}

integer_block decode_block(tensor_type type, const std::byte* block) {
  integer_block out;
  if (type == tensor_type::mxfp4) {
    const auto exponent = std::to_integer<std::uint8_t>(block[0]);
    out.block_scale =
        exponent < mxfp4_exponent_min ? 0 : std::int64_t{1} << (exponent - mxfp4_exponent_min);
    decode_mxfp4(block, out);
    return out;
  }
  const block_scales scales = scales_of(type, block);
  out.block_scale = half_to_fixed24(scales.d);
  out.min_scale = half_to_fixed24(scales.dmin);
  switch (type) {
  case tensor_type::q8_0: decode_q8_0(block, out); break;
  case tensor_type::q4_0: decode_q4_0(block, out); break;
  case tensor_type::q4_1: decode_q4_1(block, out); break;
  case tensor_type::q5_0: decode_q5_0(block, out); break;
  case tensor_type::q5_1: decode_q5_1(block, out); break;
  case tensor_type::q2_k: decode_q2_k(block, out); break;
  case tensor_type::q3_k: decode_q3_k(block, out); break;
  case tensor_type::q4_k: decode_q4_k(block, out); break;
  case tensor_type::q5_k: decode_q5_k(block, out); break;
  case tensor_type::q6_k: decode_q6_k(block, out); break;
  case tensor_type::iq2_xxs: decode_iq2_xxs(block, out); break;
  case tensor_type::iq2_xs: decode_iq2_xs(block, out); break;
  case tensor_type::iq2_s: decode_iq2_s(block, out); break;
  case tensor_type::iq3_xxs: decode_iq3_xxs(block, out); break;
  case tensor_type::iq3_s: decode_iq3_s(block, out); break;
  case tensor_type::iq4_nl: decode_iq4_nl(block, out); break;
  case tensor_type::iq4_xs: decode_iq4_xs(block, out); break;
  case tensor_type::f32:
  case tensor_type::f16:
  case tensor_type::mxfp4:
  case tensor_type::bf16: OVIR_CHECK(false, static_cast<std::uint32_t>(type));
  }
  return out;
}

float float_element(tensor_type type, const std::byte* row, std::size_t i) {
  if (type == tensor_type::f32) {
    float value{};
    std::memcpy(&value, row + 4 * i, sizeof value);
    return value;
  }
  const std::uint16_t bits = load_u16(row + 2 * i);
  return type == tensor_type::f16 ? half_to_float(bits) : bfloat_to_float(bits);
}

void embed_row(const weight& w, std::uint32_t row, float* out) {
  const std::byte* data = w.row(row);
  if (form_for(w.type) == activation_form::floats) {
    for (std::size_t i = 0; i < w.cols; ++i) {
      out[i] = float_element(w.type, data, i);
    }
    return;
  }
  const tensor_layout layout = layout_of(w.type);
  for (std::size_t b = 0; b < w.cols / layout.block_elements; ++b) {
    const integer_block block = decode_block(w.type, data + b * layout.block_bytes);
    const std::size_t group = layout.block_elements / block.groups;
    for (std::size_t i = 0; i < layout.block_elements; ++i) {
      // |D| < 2^40, so the sum stays below 2^53.
      const std::int64_t z = block.block_scale * block.scale[i / group] * block.w[i] -
                             block.min_scale * block.min[i / group];
      out[b * layout.block_elements + i] = round_to_float(z) * unit_of_products(w.type);
    }
  }
}

} // namespace ovir::compute
