#include "compute/kernels/formats/packed_superblocks.hpp"

#include "compute/tensor/layouts.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ovir::compute {

namespace {

constexpr std::size_t rows = layout::panel_rows;
constexpr std::size_t dword = 4;
constexpr std::size_t half = 2;
constexpr std::size_t line = layout::panel_line;

std::uint32_t load_dword(const std::byte* p) {
  std::uint32_t value{};
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// A dword of its row to line after line.
class line_writer {
public:
  line_writer(std::byte* first_line, std::size_t row) : at_(first_line + row * dword) {}

  void put(std::uint32_t value) {
    std::memcpy(at_, &value, dword);
    at_ += line;
  }
  void put(const std::byte* from, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      put(load_dword(from + i * dword));
    }
  }
  /// Each with its two bytes in the middle exchanged, so that neighbours come into one register.
  void put_exchanged(const std::byte* from, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t value = load_dword(from + i * dword);
      put((value & 0xFF0000FFU) | (value & 0xFF00U) << 8U | (value >> 8U & 0xFF00U));
    }
  }

private:
  std::byte* at_;
};

void pack_q4_k(const std::byte* data, std::size_t row, std::byte* out) {
  std::memcpy(out + row * half, data, half);
  std::memcpy(out + (rows + row) * half, data + half, half);
  line_writer lines{out + line, row};
  lines.put_exchanged(data + layout::q4_k_block::scales, 3);
  lines.put(data + layout::q4_k_block::nibbles, 32);
}

/// The fifth bits of line `l` of 64 elements: `pair` of them. The file has a byte for each lane of
/// 32 with the bits of eight runs.
std::uint32_t q5_k_fifths(const std::byte* fifths, std::size_t pair, std::size_t l) {
  std::uint32_t out = 0;
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint32_t bits = load_dword(fifths + (4 * l + i) * dword) >> (2 * pair + side);
      out |= (bits & 0x01010101U) << (4 * side + i);
    }
  }
  return out;
}

void pack_q5_k(const std::byte* data, std::size_t row, std::byte* out) {
  constexpr std::size_t fifths_at = layout::q5_k_block::fifths;
  constexpr std::size_t nibbles_at = layout::q5_k_block::nibbles;
  std::memcpy(out + row * half, data, half);
  std::memcpy(out + (rows + row) * half, data + half, half);
  line_writer lines{out + line, row};
  lines.put_exchanged(data + layout::q5_k_block::scales, 3);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    lines.put(q5_k_fifths(data + fifths_at, pair, 0));
    lines.put(q5_k_fifths(data + fifths_at, pair, 1));
    lines.put(data + nibbles_at + pair * 8 * dword, 8);
  }
}

/// Low nibbles of four elements of Q6_K and, above them, of the four 32 elements later: dword i of
/// quarter q. The file has those of quarters 2 h and 2 h + 1 in the low and the high nibbles of the
/// same 64 bytes.
std::uint32_t q6_k_low(const std::byte* data, std::size_t q, std::size_t i) {
  const std::uint32_t first = load_dword(data + q / 2 * 64 + i * dword);
  const std::uint32_t second = load_dword(data + q / 2 * 64 + 32 + i * dword);
  return q % 2 == 0 ? (first & 0x0F0F0F0FU) | (second & 0x0F0F0F0FU) << 4U
                    : (first >> 4U & 0x0F0F0F0FU) | (second & 0xF0F0F0F0U);
}

/// The two high bits of four elements and of those 16, 32 and 48 elements later: dword i of quarter
/// q. The file has a byte for each lane of 32 with the bits of four runs.
std::uint32_t q6_k_high(const std::byte* data, std::size_t q, std::size_t i) {
  const std::byte* high = data + layout::q6_k_block::high + q / 2 * 32 + i * dword;
  const std::size_t shift = q % 2 * 4;
  const std::uint32_t first = load_dword(high) >> shift;
  const std::uint32_t second = load_dword(high + 16) >> shift;
  constexpr std::uint32_t two = 0x03030303;
  return (first & two) | (second & two) << 2U | (first >> 2U & two) << 4U |
         (second >> 2U & two) << 6U;
}

void pack_q6_k(const std::byte* data, std::size_t row, std::byte* out) {
  constexpr std::size_t scales = 16;
  constexpr std::size_t scales_at = layout::q6_k_block::scales;
  std::memcpy(out + row * half, data + layout::q6_k_block::d, half);
  out += line;
  for (std::size_t g = 0; g < scales; ++g) {
    out[g * rows + row] = data[scales_at + g];
  }
  line_writer lines{out + scales * rows, row};
  for (std::size_t q = 0; q < 4; ++q) {
    for (std::size_t i = 0; i < 4; ++i) {
      lines.put(q6_k_low(data, q, i));
      lines.put(q6_k_high(data, q, i));
    }
    for (std::size_t i = 4; i < 8; ++i) {
      lines.put(q6_k_low(data, q, i));
    }
  }
}

/// The pairs of bits of group g of 16 elements. The file has two halves of 128 elements, in each a
/// byte for each lane of 32 with the pairs of four runs.
std::uint32_t pairs_of(const std::byte* pairs, std::size_t g) {
  const std::byte* const first = pairs + g / 8 * 32 + g % 2 * 16;
  const std::size_t shift = g % 8 / 2 * 2;
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    out |= (load_dword(first + i * dword) >> shift & 0x03030303U) << (2 * i);
  }
  return out;
}

void pack_q2_k(const std::byte* data, std::size_t row, std::byte* out) {
  constexpr std::size_t pairs_at = layout::q2_k_block::pairs;
  std::memcpy(out + row * half, data + layout::q2_k_block::d, half);
  std::memcpy(out + (rows + row) * half, data + layout::q2_k_block::dmin, half);
  line_writer lines{out + line, row};
  lines.put_exchanged(data, 4);
  for (std::size_t g = 0; g < 16; ++g) {
    lines.put(pairs_of(data + pairs_at, g));
  }
}

/// The third bits of 32 elements, block j. The file has a byte for each lane of 32 with the bits of
/// eight runs.
std::uint32_t q3_k_thirds(const std::byte* thirds, std::size_t j) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    out |= (load_dword(thirds + i * dword) >> j & 0x01010101U) << i;
  }
  return out;
}

void pack_q3_k(const std::byte* data, std::size_t row, std::byte* out) {
  constexpr std::size_t pairs_at = layout::q3_k_block::pairs;
  std::memcpy(out + row * half, data + layout::q3_k_block::d, half);
  line_writer lines{out + line, row};
  lines.put_exchanged(data + layout::q3_k_block::scales, 3);
  for (std::size_t j = 0; j < 8; ++j) {
    lines.put(q3_k_thirds(data, j));
    lines.put(pairs_of(data + pairs_at, 2 * j));
    lines.put(pairs_of(data + pairs_at, 2 * j + 1));
  }
}

void pack_iq4_xs(const std::byte* data, std::size_t row, std::byte* out) {
  std::memcpy(out + row * half, data, half);
  std::memcpy(out + (rows + row) * half, data + half, half);
  line_writer lines{out + line, row};
  lines.put(data + layout::iq4_xs_block::low_scales, 1 + 32);
}

/// One row for each type: a superblock of sixteen rows has the bytes of theirs, and less than a
/// line more.
struct format_row {
  tensor_type type;
  std::size_t bytes;
  void (*pack)(const std::byte* data, std::size_t row, std::byte* out);
};

template <class Block, class Panel>
constexpr format_row format_of(tensor_type type,
                               void (*pack)(const std::byte*, std::size_t, std::byte*)) {
  static_assert(Panel::bytes >= rows * Block::bytes && Panel::bytes < rows * Block::bytes + line);
  return {type, Panel::bytes, pack};
}

constexpr std::array<format_row, 6> formats{
    format_of<layout::q2_k_block, layout::q2_k_panel>(tensor_type::q2_k, pack_q2_k),
    format_of<layout::q3_k_block, layout::q3_k_panel>(tensor_type::q3_k, pack_q3_k),
    format_of<layout::q4_k_block, layout::q4_k_panel>(tensor_type::q4_k, pack_q4_k),
    format_of<layout::q5_k_block, layout::q5_k_panel>(tensor_type::q5_k, pack_q5_k),
    format_of<layout::q6_k_block, layout::q6_k_panel>(tensor_type::q6_k, pack_q6_k),
    format_of<layout::iq4_xs_block, layout::iq4_xs_panel>(tensor_type::iq4_xs, pack_iq4_xs),
};

const format_row& format_of(tensor_type type) {
  const auto* const found = std::find_if(formats.begin(), formats.end(),
                                         [&](const format_row& f) { return f.type == type; });
  OVIR_CHECK(found != formats.end(), static_cast<std::uint32_t>(type));
  return *found;
}

} // namespace

std::size_t packed_superblock_bytes(tensor_type type) noexcept { return format_of(type).bytes; }

void pack_superblock(tensor_type type, const std::byte* data, std::size_t row,
                     std::byte* out) noexcept {
  format_of(type).pack(data, row, out);
}

} // namespace ovir::compute
