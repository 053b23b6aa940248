#pragma once

#include "messages/result.hpp"
#include "verify/proofs/statement.hpp"
#include "verify/proofs/sum_check.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// A proof's parts and bytes. product_prover.hpp makes proofs, product_verifier.hpp checks them.
namespace ovir::proofs {

/// How many columns are opened. A wrong combined row passes each with a probability below 1 / 8
/// (reed_solomon.hpp), all with one below 2^-102: docs/proofs/products.md adds the soundness up.
inline constexpr std::uint32_t opened_columns = 34;

/// A column of one tensor's encoded matrix, and its way to the root.
struct column_opening {
  std::vector<element> symbols; ///< [folded rows]
  std::vector<digest> path;

  friend bool operator==(const column_opening&, const column_opening&) = default;
};

/// The products whose tensors have the same width and fold: one sum-check and one combined row.
struct group_proof {
  std::vector<round_message> rounds; ///< one for each variable of a column's number
  std::vector<element> combined;     ///< [span]: the weighed sum of all committed rows
  /// [products of the group][opened_columns].
  std::vector<std::vector<column_opening>> openings;

  friend bool operator==(const group_proof&, const group_proof&) = default;
};

struct product_proof {
  std::vector<group_proof> groups;

  friend bool operator==(const product_proof&, const product_proof&) = default;
};

/// Numbers of the statement's products, grouped in the order of their first ones.
[[nodiscard]] std::vector<std::vector<std::size_t>> groups_of(const proof_statement& statement);

/// docs/formats/proof.md.
[[nodiscard]] std::vector<std::byte> encode_proof(const product_proof& proof);
/// One encoding for each proof. `malformed`, `unsupported` (another version) or `over_limit`;
/// whether its sizes fit a statement is the verifier's to say.
[[nodiscard]] result<product_proof> decode_proof(std::span<const std::byte> bytes);

} // namespace ovir::proofs
