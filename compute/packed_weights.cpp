#include "compute/packed_weights.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ovir::compute {

namespace {

constexpr std::size_t dword = 4;
constexpr std::size_t half = 2;
constexpr std::size_t line = packed_rows * dword; ///< one dword of every row
constexpr std::size_t group_blocks = 8;
constexpr std::size_t group_scales = group_blocks * packed_rows * half;
constexpr std::size_t q4_k_bytes = 2304;
constexpr std::size_t q6_k_bytes = 3392;
constexpr std::byte q8_0_bias{0x80};

std::size_t blocks_of(tensor_type type, std::uint32_t cols) {
  return cols / layout_of(type).block_elements;
}

/// Copies `count` dwords of one row to places a line apart.
void spread(const std::byte* from, std::size_t count, std::size_t row, std::byte* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(to + i * line + row * dword, from + i * dword, dword);
  }
}

void pack_blocks(tensor_type type, const std::byte* data, std::size_t blocks, std::size_t row,
                 std::byte* out) {
  const std::size_t block_bytes = layout_of(type).block_bytes;
  const std::size_t dwords = (block_bytes - half) / dword;
  for (std::size_t b = 0; b < blocks; ++b, data += block_bytes) {
    std::byte* group = out + b / group_blocks * (group_scales + group_blocks * dwords * line);
    const std::size_t in_group = b % group_blocks;
    std::memcpy(group + (in_group * packed_rows + row) * half, data, half);
    spread(data + half, dwords, row, group + group_scales + in_group * dwords * line);
  }
}

void pack_q4_k(const std::byte* data, std::size_t row, std::byte* out) {
  std::memcpy(out + row * half, data, half);
  std::memcpy(out + (packed_rows + row) * half, data + half, half);
  spread(data + dword, 3 + 32, row, out + line);
  for (std::size_t i = 1; i <= 3; ++i) {
    std::byte* scales = out + i * line + row * dword;
    std::swap(scales[1], scales[2]);
  }
}

/// Element i of a block of Q6_K, 0..63.
unsigned q6_k_element(const std::byte* data, std::size_t i) {
  const std::size_t run = i % 128 / 32;
  const auto low = static_cast<unsigned>(data[i / 128 * 64 + run % 2 * 32 + i % 32]);
  const auto high = static_cast<unsigned>(data[128 + i / 128 * 32 + i % 32]);
  return ((run < 2 ? low : low >> 4U) & 15U) | ((high >> (2 * run)) & 3U) << 4U;
}

void pack_q6_k(const std::byte* data, std::size_t row, std::byte* out) {
  constexpr std::size_t quarter = 12 * line;
  constexpr std::size_t scales = 16;
  constexpr std::size_t scales_at = 192;
  std::memcpy(out + row * half, data + scales_at + scales, half);
  out += line;
  for (std::size_t g = 0; g < scales; ++g) {
    out[g * packed_rows + row] = data[scales_at + g];
  }
  out += scales * packed_rows;
  for (std::size_t q = 0; q < 4; ++q, out += quarter) {
    std::array<std::byte, 48> bytes{};
    for (std::size_t i = 0; i < 64; ++i) {
      const unsigned w = q6_k_element(data, q * 64 + i);
      const std::size_t low = i % 32 < 16 ? i % 16 / 4 * 8 + i % 4 : 16 + i % 32;
      bytes[low] |= static_cast<std::byte>((w & 15U) << (i / 32 * 4));
      bytes[i % 16 / 4 * 8 + 4 + i % 4] |= static_cast<std::byte>(w >> 4U << (i / 16 * 2));
    }
    spread(bytes.data(), 12, row, out);
  }
}

} // namespace

std::size_t packed_panel_bytes(tensor_type type, std::uint32_t cols) noexcept {
  const std::size_t blocks = blocks_of(type, cols);
  switch (type) {
  case tensor_type::q8_0:
  case tensor_type::q4_0:
    return (blocks + group_blocks - 1) / group_blocks * group_scales +
           blocks * (layout_of(type).block_bytes - half) * packed_rows;
  case tensor_type::q4_k: return blocks * q4_k_bytes;
  case tensor_type::q6_k: return blocks * q6_k_bytes;
  default: break;
  }
  OVIR_CHECK(false, static_cast<std::uint32_t>(type));
  return 0;
}

std::size_t packed_bytes(const weight& w) noexcept {
  const std::size_t panels = (std::size_t{w.rows} + packed_rows - 1) / packed_rows;
  return panels * packed_panel_bytes(w.type, w.cols);
}

void pack_panel(const weight& w, std::uint32_t panel, std::byte* out) noexcept {
  const std::size_t bytes = packed_panel_bytes(w.type, w.cols);
  std::memset(out, 0, bytes);
  const std::uint32_t first = panel * packed_rows;
  const std::size_t blocks = blocks_of(w.type, w.cols);
  for (std::uint32_t row = 0; row < packed_rows && first + row < w.rows; ++row) {
    const std::byte* data = w.row(first + row);
    switch (w.type) {
    case tensor_type::q4_k:
    case tensor_type::q6_k:
      for (std::size_t b = 0; b < blocks; ++b, data += layout_of(w.type).block_bytes) {
        w.type == tensor_type::q4_k ? pack_q4_k(data, row, out + b * q4_k_bytes)
                                    : pack_q6_k(data, row, out + b * q6_k_bytes);
      }
      break;
    default: pack_blocks(w.type, data, blocks, row, out); break;
    }
  }
  if (w.type == tensor_type::q8_0) {
    for (std::size_t at = 0; at < bytes; at += group_scales + group_blocks * 8 * line) {
      const std::size_t end = std::min(bytes, at + group_scales + group_blocks * 8 * line);
      for (std::size_t i = at + group_scales; i < end; ++i) {
        out[i] ^= q8_0_bias;
      }
    }
  }
}

packing_plan plan_packing(model& m, layer_range layers) {
  packing_plan plan;
  const auto add = [&](weight& w) {
    if (is_packable(w.type) && !w.wide) {
      plan.parts.push_back({&w, plan.bytes});
      plan.bytes += packed_bytes(w);
    }
  };
  for (layer_index l = layers.first; l < layers.last; ++l) {
    layer_weights& w = m.layers[l];
    for (weight* one :
         {&w.attn_q, &w.attn_k, &w.attn_v, &w.attn_output, &w.ffn_gate, &w.ffn_up, &w.ffn_down}) {
      add(*one);
    }
  }
  if (layers.last == m.config.layers) {
    add(m.output);
  }
  return plan;
}

void pack_weight(const packing_plan::part& part, std::byte* memory, parallel_runner& runner) {
  constexpr std::uint32_t panels_per_job = 8;
  const weight& w = *part.target;
  const std::size_t panel_bytes = packed_panel_bytes(w.type, w.cols);
  const std::uint32_t panels = (w.rows + packed_rows - 1) / packed_rows;
  std::byte* const out = memory + part.at;
  const auto pack_some = [&](std::size_t job) {
    const auto first = static_cast<std::uint32_t>(job) * panels_per_job;
    for (std::uint32_t i = first; i < std::min(first + panels_per_job, panels); ++i) {
      pack_panel(w, i, out + i * panel_bytes);
    }
  };
  runner.run((panels + panels_per_job - 1) / panels_per_job, pack_some);
  part.target->packed = out;
}

} // namespace ovir::compute
