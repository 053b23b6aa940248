#pragma once

#include "verify/proofs/product_proof.hpp"
#include "verify/proofs/transcript.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What prover and verifier of a statement compute alike.
namespace ovir::proofs {

/// All of the statement, before any challenge.
void absorb_statement(transcript& script, const proof_statement& statement);

/// Challenges of a group, drawn before its sum-check. Products with fewer tokens or rows use the
/// first entries of a point.
struct group_challenges {
  std::vector<element> tokens;
  std::vector<element> rows;
  std::vector<element> factors; ///< of the group's products, in its sum
};
[[nodiscard]] group_challenges draw_challenges(transcript& script, const proof_statement& statement,
                                               std::span<const std::size_t> group);

/// A product's share of a group's points as equality tables.
struct product_tables {
  std::vector<element> tokens;
  std::vector<element> folds; ///< of the low bits of a row's number: rows that are folded to one
  std::vector<element> rows;  ///< of the high bits: committed rows
};
[[nodiscard]] product_tables tables_of(const product_claim& product,
                                       const group_challenges& challenges);

/// S at the point of tokens and rows, from the sums that are stated.
[[nodiscard]] element claimed_sum(const product_claim& product, const product_tables& tables);

/// x with its token set to the point, times `factor`: [cols].
[[nodiscard]] std::vector<element> input_table(const product_claim& product,
                                               const product_tables& tables, element factor);

/// The places of the columns to open, drawn behind the combined row.
[[nodiscard]] std::vector<std::uint32_t> draw_columns(transcript& script,
                                                      std::span<const element> combined);

} // namespace ovir::proofs
