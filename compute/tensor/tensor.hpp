#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

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

[[nodiscard]] constexpr tensor_layout layout_of(tensor_type type) noexcept {
  switch (type) {
  case tensor_type::f32: return {1, 4};
  case tensor_type::f16: return {1, 2};
  case tensor_type::bf16: return {1, 2};
  case tensor_type::q4_0:
  case tensor_type::iq4_nl: return {32, 18};
  case tensor_type::q4_1: return {32, 20};
  case tensor_type::q5_0: return {32, 22};
  case tensor_type::q5_1: return {32, 24};
  case tensor_type::q8_0: return {32, 34};
  case tensor_type::q2_k: return {256, 84};
  case tensor_type::q3_k:
  case tensor_type::iq3_s: return {256, 110};
  case tensor_type::q4_k: return {256, 144};
  case tensor_type::q5_k: return {256, 176};
  case tensor_type::q6_k: return {256, 210};
  case tensor_type::iq2_xxs: return {256, 66};
  case tensor_type::iq2_xs: return {256, 74};
  case tensor_type::iq3_xxs: return {256, 98};
  case tensor_type::iq2_s: return {256, 82};
  case tensor_type::iq4_xs: return {256, 136};
  case tensor_type::mxfp4: return {32, 17};
  }
  return {0, 0};
}

/// "Q4_K" and so on; the names GGUF tools use.
[[nodiscard]] std::string_view name_of(tensor_type type) noexcept;

/// Of every type this build computes with, "F32, F16, ...": for messages.
[[nodiscard]] std::string_view tensor_type_names();

/// The type with GGUF number `raw`, when this build computes with it.
[[nodiscard]] std::optional<tensor_type> tensor_type_from(std::uint32_t raw) noexcept;

/// GGUF's name for type number `raw`, also of types this build refuses ("IQ2_XS"); empty when no
/// GGUF version defines it. For error messages.
[[nodiscard]] std::string_view name_of_raw_type(std::uint32_t raw) noexcept;

/// How type number `raw` is stored, also for types this build refuses; empty when GGUF does not
/// define it or its size is not known here.
[[nodiscard]] std::optional<tensor_layout> layout_of_raw_type(std::uint32_t raw) noexcept;

/// The form activations take for products with a weight type (exact-1, section 3).
enum class activation_form : std::uint8_t {
  floats, ///< F32, F16, BF16 weights: binary32 activations, striped sums
  a32,    ///< weights scaled per 32: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4
  a256,   ///< weights in superblocks of 256: the K-quants and the other IQ types
};

[[nodiscard]] constexpr activation_form form_for(tensor_type type) noexcept {
  switch (layout_of(type).block_elements) {
  case 32: return activation_form::a32;
  case 256: return activation_form::a256;
  default: return activation_form::floats;
  }
}

/// Bits after the point of a type's integer weights, beside the 24 of its scales: IQ2 and IQ3 types
/// scale by odd multiples of an eighth or a quarter, MXFP4 by powers of two down to 2^-32.
[[nodiscard]] constexpr int fraction_bits(tensor_type type) noexcept {
  switch (type) {
  case tensor_type::iq2_xxs:
  case tensor_type::iq2_xs:
  case tensor_type::iq2_s: return 3;
  case tensor_type::iq3_xxs: return 2;
  case tensor_type::mxfp4: return 8;
  default: return 0;
  }
}

/// 2^-(24 + fraction_bits): what a sum of exact-1, section 3, is multiplied by.
[[nodiscard]] constexpr float unit_of_products(tensor_type type) noexcept {
  return 0x1p-24F / static_cast<float>(1 << fraction_bits(type));
}

/// Whether packed weights of this type are rows of bytes (unpacked_rows.hpp), not panels in the
/// file's bits (packed_weights.hpp).
[[nodiscard]] constexpr bool is_unpacked(tensor_type type) noexcept {
  switch (type) {
  case tensor_type::q8_0:
  case tensor_type::q4_0:
  case tensor_type::q2_k:
  case tensor_type::q3_k:
  case tensor_type::q4_k:
  case tensor_type::q5_k:
  case tensor_type::q6_k:
  case tensor_type::iq4_xs: return false;
  default: return form_for(type) != activation_form::floats;
  }
}

/// Whether the fast kernels read rows of this type as they are in the file. Those of other
/// quantised types are turned into bytes first where nobody packed them.
[[nodiscard]] constexpr bool has_row_kernel(tensor_type type) noexcept {
  switch (type) {
  case tensor_type::q8_0:
  case tensor_type::q4_0:
  case tensor_type::q4_k:
  case tensor_type::q6_k: return true;
  default: return false;
  }
}

/// A matrix of weights [rows][cols], row-major, in its file's encoding. Does not own: it points
/// into the mapped model, which must outlive it. A vector is a matrix of one row.
struct weight {
  tensor_type type{tensor_type::f32};
  std::uint32_t rows{0};
  std::uint32_t cols{0};
  const std::byte* data{nullptr};
  /// Set at load when some row's L1 bound or scale exceeds what int64 sums can hold (exact-1,
  /// section 4): products then take the 128-bit path, same integers, slower.
  bool wide{false};
  /// The same rows in the order that fast kernels read (packed_weights.hpp); null where nobody made
  /// it. The reference kernels and the embedding read `data`.
  const std::byte* packed{nullptr};
  /// Rows of a group of packed floats, 4 or 16; chosen before they are packed.
  std::uint32_t group_rows{4};

  [[nodiscard]] bool empty() const noexcept { return data == nullptr; }
  [[nodiscard]] std::size_t row_bytes() const noexcept {
    const tensor_layout layout = layout_of(type);
    return std::size_t{cols} / layout.block_elements * layout.block_bytes;
  }
  [[nodiscard]] const std::byte* row(std::uint32_t index) const noexcept {
    return data + index * row_bytes();
  }
};

} // namespace ovir::compute
