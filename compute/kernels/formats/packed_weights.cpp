#include "compute/kernels/formats/packed_weights.hpp"

#include "compute/kernels/formats/packed_superblocks.hpp"
#include "compute/kernels/formats/unpacked_rows.hpp"

#include <algorithm>
#include <cstring>

namespace ovir::compute {

namespace {

constexpr std::size_t dword = 4;
constexpr std::size_t half = 2;
constexpr std::size_t line = packed_rows * dword; ///< one dword of every row
constexpr std::size_t group_blocks = packed_group_blocks;
constexpr std::size_t group_scales = packed_group_scales;
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

constexpr std::size_t float_columns = 16; ///< of a row that stand together

void pack_floats(const weight& w, const std::byte* data, std::size_t row, std::byte* out) {
  const std::size_t run = float_columns * layout_of(w.type).block_bytes;
  const std::size_t runs = (w.cols + float_columns - 1) / float_columns;
  const std::size_t rows = w.group_rows;
  out += row / rows * runs * rows * run + row % rows * run;
  for (std::size_t left = w.row_bytes(); left > 0;
       left -= std::min(left, run), data += run, out += rows * run) {
    std::memcpy(out, data, std::min(left, run));
  }
}

} // namespace

std::uint32_t float_group_rows(isa kernels, std::uint32_t cols) noexcept {
  constexpr std::uint32_t most_kept = 2560; // columns: 10 KiB
  return kernels == isa::avx512 && cols > most_kept ? packed_rows : 4;
}

std::size_t packed_panel_bytes(tensor_type type, std::uint32_t cols) noexcept {
  if (is_unpacked(type)) {
    return packed_rows * unpacked_row_bytes(type, cols);
  }
  const std::size_t blocks = blocks_of(type, cols);
  switch (type) {
  case tensor_type::q8_0:
  case tensor_type::q4_0:
    return (blocks + group_blocks - 1) / group_blocks * group_scales +
           blocks * (layout_of(type).block_bytes - half) * packed_rows;
  case tensor_type::q2_k:
  case tensor_type::q3_k:
  case tensor_type::q4_k:
  case tensor_type::q5_k:
  case tensor_type::q6_k:
  case tensor_type::iq4_xs: return blocks * packed_superblock_bytes(type);
  default: break;
  }
  const std::size_t runs = (std::size_t{cols} + float_columns - 1) / float_columns;
  return runs * float_columns * layout_of(type).block_bytes * packed_rows;
}

std::size_t packed_bytes(const weight& w) noexcept {
  const std::size_t panels = (std::size_t{w.rows} + packed_rows - 1) / packed_rows;
  return panels * packed_panel_bytes(w.type, w.cols);
}

std::uint64_t held_bytes(const weight& w) noexcept {
  return !w.empty() && is_unpacked(w.type) ? packed_bytes(w) : file_bytes(w);
}

std::uint64_t held_bytes(const layer_weights& w) noexcept {
  std::uint64_t total = 0;
  for (const layer_part& part : layer_parts) {
    total += held_bytes(w.*part.member);
  }
  for (const expert_weights& expert : w.experts) {
    for (const expert_part& part : expert_parts) {
      total += held_bytes(expert.*part.member);
    }
  }
  return total;
}

void pack_panel(const weight& w, std::uint32_t panel, std::byte* out) noexcept {
  const std::size_t bytes = packed_panel_bytes(w.type, w.cols);
  std::memset(out, 0, bytes);
  const std::uint32_t first = panel * packed_rows;
  const std::size_t blocks = blocks_of(w.type, w.cols);
  for (std::uint32_t row = 0; row < packed_rows && first + row < w.rows; ++row) {
    const std::byte* data = w.row(first + row);
    if (is_unpacked(w.type)) {
      unpack_row(w.type, data, w.cols, out + row * unpacked_row_bytes(w.type, w.cols));
      continue;
    }
    switch (w.type) {
    case tensor_type::q2_k:
    case tensor_type::q3_k:
    case tensor_type::q4_k:
    case tensor_type::q5_k:
    case tensor_type::q6_k:
    case tensor_type::iq4_xs:
      for (std::size_t b = 0; b < blocks; ++b, data += layout_of(w.type).block_bytes) {
        pack_superblock(w.type, data, row, out + b * packed_superblock_bytes(w.type));
      }
      break;
    case tensor_type::q8_0:
    case tensor_type::q4_0: pack_blocks(w.type, data, blocks, row, out); break;
    default: pack_floats(w, data, row, out); break;
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

packing_plan plan_packing(model& m, layer_range layers, isa kernels) {
  packing_plan plan;
  const auto add = [&](weight& w) {
    if (!w.wide) {
      w.group_rows = float_group_rows(kernels, w.cols);
      plan.parts.push_back({&w, plan.bytes});
      plan.bytes += packed_bytes(w);
    }
  };
  for (layer_index l = layers.first; l < layers.last; ++l) {
    for_each_product(m.layers[l],
                     [&](std::string_view /*name*/, weight& one, std::uint32_t) { add(one); });
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
