#include "compute/kernels/formats/unpacked_rows.hpp"

#include "compute/tensor/quantized_rows.hpp"

#include <cstring>

namespace ovir::compute {

namespace {

void put_dword(std::byte* at, std::int64_t value) {
  const auto narrow = static_cast<std::int32_t>(value);
  std::memcpy(at, &narrow, sizeof narrow);
}

std::byte byte_of(std::int32_t value) { return static_cast<std::byte>(value & 255); }

} // namespace

std::size_t unpacked_row_bytes(tensor_type type, std::uint32_t cols) noexcept {
  const std::uint32_t block = layout_of(type).block_elements;
  return std::size_t{cols / block} * (block == 32 ? unpacked_32_bytes : unpacked_256_bytes);
}

void unpack_row(tensor_type type, const std::byte* row, std::uint32_t cols, std::byte* out) {
  const tensor_layout layout = layout_of(type);
  constexpr std::size_t sixteenths = 16;
  for (std::uint32_t at = 0; at < cols; at += layout.block_elements, row += layout.block_bytes) {
    const integer_block block = decode_block(type, row);
    put_dword(out, block.block_scale);
    put_dword(out + 4, block.min_scale);
    out += 8;
    if (layout.block_elements == 256) {
      for (std::size_t g = 0; g < sixteenths; ++g) {
        out[g] = byte_of(block.scale[g * block.groups / sixteenths]);
        out[sixteenths + g] = byte_of(block.min[g * block.groups / sixteenths]);
      }
      out += 2 * sixteenths;
    }
    for (std::uint32_t i = 0; i < layout.block_elements; ++i) {
      out[i] = byte_of(block.w[i]);
    }
    out += layout.block_elements;
  }
}

} // namespace ovir::compute
