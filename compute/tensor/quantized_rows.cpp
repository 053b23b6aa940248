#include "compute/tensor/quantized_rows.hpp"

#include "compute/base/exact_math.hpp"
#include "messages/check.hpp"

#include <cstring>

namespace ovir::compute {

namespace {

std::uint16_t load_u16(const std::byte* p) {
  std::uint16_t value{};
  std::memcpy(&value, p, sizeof value);
  return value;
}

} // namespace

block_scales scales_of(tensor_type type, const std::byte* block) {
  const tensor_row& row = *row_of(type);
  OVIR_CHECK(row.decode != nullptr && row.half_scales, static_cast<std::uint32_t>(type));
  return {load_u16(block + row.d_at),
          row.dmin_at ? load_u16(block + *row.dmin_at) : std::uint16_t{0}};
}

integer_block decode_block(tensor_type type, const std::byte* block) {
  const tensor_row& row = *row_of(type);
  OVIR_CHECK(row.decode != nullptr, static_cast<std::uint32_t>(type));
  integer_block out;
  if (row.half_scales) {
    const block_scales scales = scales_of(type, block);
    out.block_scale = half_to_fixed24(scales.d);
    out.min_scale = half_to_fixed24(scales.dmin);
  } else {
    const auto exponent = std::to_integer<std::uint8_t>(block[row.d_at]);
    out.block_scale =
        exponent < mxfp4_exponent_min ? 0 : std::int64_t{1} << (exponent - mxfp4_exponent_min);
  }
  row.decode(block, out);
  return out;
}

void integer_weights(tensor_type type, const std::byte* block, std::int64_t* out) {
  const integer_block integers = decode_block(type, block);
  const std::size_t elements = layout_of(type).block_elements;
  const std::size_t group = elements / integers.groups;
  for (std::size_t g = 0, i = 0; g < integers.groups; ++g) {
    const std::int64_t scale = integers.block_scale * integers.scale[g];
    const std::int64_t min = integers.min_scale * integers.min[g];
    for (const std::size_t end = i + group; i < end; ++i) {
      out[i] = scale * integers.w[i] - min;
    }
  }
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
