#pragma once

#include "compute/base/kernels_ask.hpp"

#include <cstddef>
#include <cstdint>

/// What crosses into files compiled for AVX2 or AVX-512 (docs/adr/0002-kernels.md): plain
/// structs and declarations. No standard container and no inline function may be used there,
/// because the linker keeps one copy of such a function for the whole program and could keep the
/// one that other processors cannot run.
namespace ovir::compute::x86 {

/// Tokens whose sums are kept at once: 16 KiB of 64-bit sums for 16 rows.
inline constexpr std::uint32_t panel_tokens = 128;
/// Most bytes per token and 256 columns (or part of them) of what a kernel works out of activations
/// once, before it meets weights.
inline constexpr std::uint32_t prepared_bytes = 512;

/// Rows of weights in their file's encoding, and in panels of sixteen (packed_weights.hpp) where
/// `packed` is not null.
struct matrix_view {
  const unsigned char* data;
  std::size_t row_bytes;
  std::uint32_t cols;
  const unsigned char* packed;
  std::size_t panel_bytes;
  std::uint32_t group_rows; ///< of packed floats
  ask_policy asks;
  bool long_tiles; ///< `prefers_long_tiles`
  float unit;      ///< of products (tensor.hpp)
};

/// `quantized_batch` without its containers. `k` has `scales` entries per token, `m` and `sum`
/// have `cols` / 32.
struct batch_view {
  const std::int8_t* q;
  const std::int32_t* k;
  const std::int32_t* m;
  const std::int32_t* sum;
  const float* u;
  std::uint32_t tokens;
  std::uint32_t cols;
  std::uint32_t scales;
  unsigned char* prepared; ///< aligned to 64, for [panel_tokens][cols / 256]
  bool is_prepared{false}; ///< `prepared` has been made, for all tokens, at most panel_tokens
  /// Where sums go as they are, not rounded to y: [tokens][y_stride]. Null: they do not.
  std::int64_t* sums{nullptr};
};

/// Where one token is quantised to.
struct quantized_row {
  std::int8_t* q;
  std::int32_t* k;
  std::int32_t* m;
  std::int32_t* sum;
  float* u;
  std::uint32_t cols;
  bool a256;
};

/// `attention_task`, whose header needs containers.
struct attention {
  const float* query;
  const std::uint16_t* keys;
  const std::uint16_t* values;
  std::size_t stride;
  std::uint32_t positions;
  std::uint32_t first;
  std::uint32_t head_dim;
  std::uint32_t heads;
  float scale;
  float cap;
  float* scores;
  float* output;
};

/// Activations and results of products with float weights.
struct float_batch {
  const float* x;
  std::size_t x_stride;
  std::uint32_t tokens;
  float* y;
  std::size_t y_stride;
};

/// Rows [first, last) of `w` times every token of `x`; y[t * y_stride + row]. Preconditions beyond
/// `kernel_set::product`: |D| < 2^31 for Q8_0 and Q4_0, |D| and |M| < 2^19 for superblocks
/// (rows beyond are `wide` and never come here).
using integer_product = void(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                             const batch_view& x, float* y, std::size_t y_stride);
using float_product = void(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                           const float_batch& batch);
using quantize_function = bool(const float* x, const quantized_row& out);
using remainder_function = void(const float* x, const batch_view& batch, std::uint32_t token,
                                float* out);
using rms_norm_function = void(const float* x, const float* w, std::uint32_t n, float epsilon,
                               float* y);
using swiglu_function = void(const float* gate, const float* up, std::uint32_t n, float* out);
using rotate_function = void(float* x, const float* cos_sin, std::uint32_t pairs);
using attend_function = void(const attention& task);
using add_function = bool(float* a, const float* b, std::uint32_t n);
using to_half_function = bool(const float* x, std::uint32_t n, std::uint16_t* out);

} // namespace ovir::compute::x86

namespace ovir::compute::avx2 {
x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k;
x86::integer_product product_q2_k, product_q3_k, product_q5_k, product_iq4_xs; ///< packed only
x86::integer_product product_unpacked_32, product_unpacked_256; ///< rows of unpacked_rows.hpp
x86::float_product product_f32, product_f16, product_bf16;
x86::quantize_function quantize;
x86::remainder_function remainder;
x86::rms_norm_function rms_norm;
x86::swiglu_function swiglu;
x86::rotate_function rotate;
x86::attend_function attend;
x86::add_function add;
x86::to_half_function to_half;
} // namespace ovir::compute::avx2

namespace ovir::compute::avx512 {
x86::integer_product product_q8_0, product_q4_0, product_q4_k, product_q6_k;
x86::integer_product product_q2_k, product_q3_k, product_q5_k, product_iq4_xs; ///< packed only
x86::float_product product_f32, product_f16, product_bf16;
x86::quantize_function quantize;
x86::remainder_function remainder;
x86::rms_norm_function rms_norm;
x86::swiglu_function swiglu;
x86::rotate_function rotate;
x86::attend_function attend;
x86::add_function add;
x86::to_half_function to_half;
} // namespace ovir::compute::avx512
