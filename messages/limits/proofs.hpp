#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of proofs of integer products (docs/formats/proof.md).
namespace ovir::limits {

/// Of one statement: all matrices of 32 layers and more.
inline constexpr std::uint32_t proof_products_max = 256;
/// 16 windows of 32 positions whose inputs are quantised to two terms.
inline constexpr std::uint32_t proof_tokens_max = 1'024;
inline constexpr std::uint32_t proof_rows_max = std::uint32_t{1} << 20U;
inline constexpr std::uint32_t proof_cols_max = std::uint32_t{1} << 17U;
/// Weights that one row of a committed matrix holds.
inline constexpr std::uint32_t proof_span_max = std::uint32_t{1} << 17U;
inline constexpr std::size_t proof_bytes_max = std::size_t{64} << 20U;
inline constexpr std::size_t proof_statement_bytes_max = std::size_t{256} << 20U;

} // namespace ovir::limits
