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
/// Of a model's roots: the manifest, 40 bytes for each matrix, and its vectors.
inline constexpr std::size_t roots_bytes_max = std::size_t{256} << 20U;
/// Of a unit proof: statement, proof and the rows that go in.
inline constexpr std::size_t unit_proof_bytes_max = std::size_t{512} << 20U;
/// Layers of a unit proof, each over some windows.
inline constexpr std::uint32_t unit_proof_pieces_max = 256;
/// Neighbours on the way from an embedding to the root.
inline constexpr std::uint32_t embedding_path_max = 32;

} // namespace ovir::limits
