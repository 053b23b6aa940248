#pragma once

#include "compute/tensor/layouts.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

/// One row of one table for each type of tensor: all that varies by type and is not code of an
/// instruction set. docs/HACKING.md says what a new type needs.
namespace ovir::compute {

/// Element encodings of a GGUF tensor. Values are GGUF's own type numbers.
enum class tensor_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  bf16 = 30,
  mxfp4 = 39,
};

/// How a type is stored: `block_elements` consecutive elements of a row in `block_bytes` bytes.
struct tensor_layout {
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};

struct integer_block;

/// The weights, scales and mins of a block as integers; `decode_block` has taken out the scales
/// that are fp16. docs/formats/gguf.md has the layouts.
using block_decoder = void (*)(const std::byte* block, integer_block& out);

void decode_q8_0(const std::byte* block, integer_block& out);
void decode_q4_0(const std::byte* block, integer_block& out);
void decode_q4_k(const std::byte* block, integer_block& out);
void decode_q6_k(const std::byte* block, integer_block& out);
void decode_q4_1(const std::byte* block, integer_block& out);
void decode_q5_0(const std::byte* block, integer_block& out);
void decode_q5_1(const std::byte* block, integer_block& out);
void decode_iq4_nl(const std::byte* block, integer_block& out);
void decode_q2_k(const std::byte* block, integer_block& out);
void decode_q3_k(const std::byte* block, integer_block& out);
void decode_q5_k(const std::byte* block, integer_block& out);
void decode_iq4_xs(const std::byte* block, integer_block& out);
void decode_iq2_xs(const std::byte* block, integer_block& out);
void decode_iq2_xxs(const std::byte* block, integer_block& out);
void decode_iq2_s(const std::byte* block, integer_block& out);
void decode_iq3_s(const std::byte* block, integer_block& out);
void decode_iq3_xxs(const std::byte* block, integer_block& out);
void decode_mxfp4(const std::byte* block, integer_block& out);

/// The most that one block adds to L1 per unit of |D| and of |M|.
struct block_worst {
  std::int64_t per_scale{0};
  std::int64_t per_min{0};
};

struct tensor_row {
  tensor_type type;
  tensor_layout layout;
  block_decoder decode{nullptr}; ///< null: elements are floats
  block_worst worst{};
  std::uint8_t d_at{0};                  ///< of a block's fp16 scale, in bytes
  std::optional<std::uint8_t> dmin_at{}; ///< of dmin, or of the m of Q4_1 and Q5_1
  bool half_scales{true};                ///< false: `d_at` is a byte, an exponent
  /// Bits after the point of integer weights, beside the 24 of their scales: IQ2 and IQ3 types
  /// scale by odd multiples of an eighth or a quarter, MXFP4 by powers of two down to 2^-32.
  std::uint8_t fraction_bits{0};
  bool panels{false};     ///< packed as panels in the file's bits, else as rows of bytes
  bool row_kernel{false}; ///< fast kernels read rows as they are in the file
};

/// The order is that of the vectors of the profile (numerics_vectors.cpp): new rows go to the end.
inline constexpr std::array<tensor_row, 21> tensor_rows{{
    {.type = tensor_type::f32, .layout = {1, 4}},
    {.type = tensor_type::f16, .layout = {1, 2}},
    {.type = tensor_type::bf16, .layout = {1, 2}},
    {.type = tensor_type::q8_0,
     .layout = {32, layout::q8_0_block::bytes},
     .decode = decode_q8_0,
     .worst = {32 * 128, 0},
     .panels = true,
     .row_kernel = true},
    {.type = tensor_type::q4_0,
     .layout = {32, layout::q4_0_block::bytes},
     .decode = decode_q4_0,
     .worst = {32 * 8, 0},
     .panels = true,
     .row_kernel = true},
    {.type = tensor_type::q4_k,
     .layout = {256, layout::q4_k_block::bytes},
     .decode = decode_q4_k,
     .worst = {256 * 63 * 15, 8 * 32 * 63},
     .dmin_at = layout::q4_k_block::dmin,
     .panels = true,
     .row_kernel = true},
    {.type = tensor_type::q6_k,
     .layout = {256, layout::q6_k_block::bytes},
     .decode = decode_q6_k,
     .worst = {256 * 128 * 32, 0},
     .d_at = layout::q6_k_block::d,
     .panels = true,
     .row_kernel = true},
    {.type = tensor_type::q4_1,
     .layout = {32, 20},
     .decode = decode_q4_1,
     .worst = {32 * 15, 32},
     .dmin_at = 2},
    {.type = tensor_type::q5_0, .layout = {32, 22}, .decode = decode_q5_0, .worst = {32 * 16, 0}},
    {.type = tensor_type::q5_1,
     .layout = {32, 24},
     .decode = decode_q5_1,
     .worst = {32 * 31, 32},
     .dmin_at = 2},
    {.type = tensor_type::iq4_nl,
     .layout = {32, 18},
     .decode = decode_iq4_nl,
     .worst = {32 * 127, 0}},
    {.type = tensor_type::q2_k,
     .layout = {256, layout::q2_k_block::bytes},
     .decode = decode_q2_k,
     .worst = {256 * 15 * 3, 16 * 32 * 15},
     .d_at = layout::q2_k_block::d,
     .dmin_at = layout::q2_k_block::dmin,
     .panels = true},
    {.type = tensor_type::q3_k,
     .layout = {256, layout::q3_k_block::bytes},
     .decode = decode_q3_k,
     .worst = {256 * 32 * 4, 0},
     .d_at = layout::q3_k_block::d,
     .panels = true},
    {.type = tensor_type::q5_k,
     .layout = {256, layout::q5_k_block::bytes},
     .decode = decode_q5_k,
     .worst = {256 * 63 * 31, 8 * 32 * 63},
     .dmin_at = layout::q5_k_block::dmin,
     .panels = true},
    {.type = tensor_type::iq4_xs,
     .layout = {256, layout::iq4_xs_block::bytes},
     .decode = decode_iq4_xs,
     .worst = {256 * 32 * 127, 0},
     .panels = true},
    {.type = tensor_type::iq2_xs,
     .layout = {256, 74},
     .decode = decode_iq2_xs,
     .worst = {256 * 31 * 43, 0},
     .fraction_bits = 3},
    {.type = tensor_type::iq2_xxs,
     .layout = {256, 66},
     .decode = decode_iq2_xxs,
     .worst = {256 * 31 * 43, 0},
     .fraction_bits = 3},
    {.type = tensor_type::iq2_s,
     .layout = {256, 82},
     .decode = decode_iq2_s,
     .worst = {256 * 31 * 43, 0},
     .fraction_bits = 3},
    {.type = tensor_type::iq3_s,
     .layout = {256, 110},
     .decode = decode_iq3_s,
     .worst = {256 * 31 * 15, 0}},
    {.type = tensor_type::iq3_xxs,
     .layout = {256, 98},
     .decode = decode_iq3_xxs,
     .worst = {256 * 31 * 62, 0},
     .fraction_bits = 2},
    {.type = tensor_type::mxfp4,
     .layout = {32, 17},
     .decode = decode_mxfp4,
     .worst = {32 * 12, 0},
     .half_scales = false,
     .fraction_bits = 8},
}};

inline constexpr std::uint8_t no_tensor_row = 0xff;

/// By GGUF's type number, the place of its row.
inline constexpr auto tensor_row_places = [] {
  std::array<std::uint8_t, 64> places{};
  places.fill(no_tensor_row);
  for (std::size_t i = 0; i < tensor_rows.size(); ++i) {
    places.at(static_cast<std::size_t>(tensor_rows[i].type)) = static_cast<std::uint8_t>(i);
  }
  return places;
}();

/// Null for a number that is not of `tensor_type`.
[[nodiscard]] constexpr const tensor_row* row_of(tensor_type type) noexcept {
  const auto number = static_cast<std::size_t>(type);
  const std::uint8_t place =
      number < tensor_row_places.size() ? tensor_row_places[number] : no_tensor_row;
  return place == no_tensor_row ? nullptr : &tensor_rows[place];
}

} // namespace ovir::compute
