#pragma once

#include "compute/tensor/tensor_types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ovir::compute {

/// How a type is stored; zeros for a number that is not of `tensor_type`.
[[nodiscard]] constexpr tensor_layout layout_of(tensor_type type) noexcept {
  const tensor_row* const row = row_of(type);
  return row == nullptr ? tensor_layout{0, 0} : row->layout;
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

/// 2^-(24 + fraction_bits): what a sum of exact-1, section 3, is multiplied by. Precondition: a
/// quantised type.
[[nodiscard]] constexpr float unit_of_products(tensor_type type) noexcept {
  return 0x1p-24F / static_cast<float>(1 << row_of(type)->fraction_bits);
}

/// Whether packed weights of this type are rows of bytes (unpacked_rows.hpp), not panels in the
/// file's bits (packed_weights.hpp).
[[nodiscard]] constexpr bool is_unpacked(tensor_type type) noexcept {
  return row_of(type)->decode != nullptr && !row_of(type)->panels;
}

/// Whether the fast kernels read rows of this type as they are in the file. Those of other
/// quantised types are turned into bytes first where nobody packed them.
[[nodiscard]] constexpr bool has_row_kernel(tensor_type type) noexcept {
  return row_of(type)->row_kernel;
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
