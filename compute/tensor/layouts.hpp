#pragma once

#include <cstddef>

/// Where the parts of a block stand, in bytes: once for each type, for everything that writes or
/// reads blocks. Files of one instruction set include this, so it has constants alone.
///
/// `x_block`: one row's block in a file (docs/formats/gguf.md). `x_panel`: the superblocks of
/// sixteen rows, as the fast kernels read them (compute/kernels/formats/packed_superblocks.hpp).
namespace ovir::compute::layout {

struct q8_0_block {
  static constexpr std::size_t d = 0;
  static constexpr std::size_t weights = 2; ///< a byte each
  static constexpr std::size_t bytes = weights + 32;
};

struct q4_0_block {
  static constexpr std::size_t d = 0;
  static constexpr std::size_t nibbles = 2; ///< low: elements 0 to 15
  static constexpr std::size_t bytes = nibbles + 16;
};

struct q4_k_block {
  static constexpr std::size_t d = 0;
  static constexpr std::size_t dmin = 2;
  static constexpr std::size_t scales = 4;   ///< and mins, six bits each
  static constexpr std::size_t nibbles = 16; ///< each 32 bytes hold 64 elements, low ones first
  static constexpr std::size_t bytes = nibbles + 128;
};

struct q5_k_block {
  static constexpr std::size_t d = 0;
  static constexpr std::size_t dmin = 2;
  static constexpr std::size_t scales = 4;
  static constexpr std::size_t fifths = 16; ///< fifth bits
  static constexpr std::size_t nibbles = fifths + 32;
  static constexpr std::size_t bytes = nibbles + 128;
};

struct q6_k_block {
  static constexpr std::size_t low = 0;    ///< nibbles
  static constexpr std::size_t high = 128; ///< pairs of bits
  static constexpr std::size_t scales = high + 64;
  static constexpr std::size_t d = scales + 16;
  static constexpr std::size_t bytes = d + 2;
};

struct q2_k_block {
  static constexpr std::size_t scales = 0; ///< and mins, four bits each
  static constexpr std::size_t pairs = 16;
  static constexpr std::size_t d = pairs + 64;
  static constexpr std::size_t dmin = d + 2;
  static constexpr std::size_t bytes = dmin + 2;
};

struct q3_k_block {
  static constexpr std::size_t thirds = 0; ///< third bits
  static constexpr std::size_t pairs = 32;
  static constexpr std::size_t scales = pairs + 64;
  static constexpr std::size_t d = scales + 12;
  static constexpr std::size_t bytes = d + 2;
};

struct iq4_xs_block {
  static constexpr std::size_t d = 0;
  static constexpr std::size_t high_scales = 2;
  static constexpr std::size_t low_scales = 4;
  static constexpr std::size_t nibbles = 8;
  static constexpr std::size_t bytes = nibbles + 128;
};

inline constexpr std::size_t panel_rows = 16;
/// A dword of every row.
inline constexpr std::size_t panel_line = panel_rows * 4;
/// A half (fp16, or two bytes) of every row.
inline constexpr std::size_t panel_halves = panel_rows * 2;

struct q4_k_panel {
  static constexpr std::size_t dmin = panel_halves;
  static constexpr std::size_t scales = panel_line; ///< three lines
  static constexpr std::size_t nibbles = scales + 3 * panel_line;
  static constexpr std::size_t bytes = nibbles + 32 * panel_line;
};

struct q5_k_panel {
  static constexpr std::size_t dmin = panel_halves;
  static constexpr std::size_t scales = panel_line;
  static constexpr std::size_t weights = scales + 3 * panel_line;
  static constexpr std::size_t pair_bytes = 10 * panel_line; ///< of 64 elements
  static constexpr std::size_t bytes = weights + 4 * pair_bytes;
};

struct q6_k_panel {
  static constexpr std::size_t scales = panel_line;
  static constexpr std::size_t quarters = scales + 16 * panel_rows;
  static constexpr std::size_t quarter_bytes = 12 * panel_line; ///< of 64 elements
  static constexpr std::size_t bytes = quarters + 4 * quarter_bytes;
};

struct q2_k_panel {
  static constexpr std::size_t dmin = panel_halves;
  static constexpr std::size_t scales = panel_line; ///< four lines
  static constexpr std::size_t pairs = scales + 4 * panel_line;
  static constexpr std::size_t bytes = pairs + 16 * panel_line;
};

struct q3_k_panel {
  static constexpr std::size_t scales = panel_line; ///< three lines
  static constexpr std::size_t weights = scales + 3 * panel_line;
  static constexpr std::size_t block_bytes = 3 * panel_line; ///< of 32 elements
  static constexpr std::size_t bytes = weights + 8 * block_bytes;
};

struct iq4_xs_panel {
  static constexpr std::size_t high_scales = panel_halves;
  static constexpr std::size_t low_scales = panel_line;
  static constexpr std::size_t nibbles = low_scales + panel_line;
  static constexpr std::size_t bytes = nibbles + 32 * panel_line;
};

} // namespace ovir::compute::layout
