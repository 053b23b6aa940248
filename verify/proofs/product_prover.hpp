#pragma once

#include "compute/base/parallel.hpp"
#include "verify/proofs/commitment.hpp"
#include "verify/proofs/product_proof.hpp"
#include "verify/proofs/transcript.hpp"

#include <span>

namespace ovir::proofs {

/// A product's weights and the tree of their commitment. Neither is owned.
struct proven_weights {
  const compute::weight* weights{nullptr};
  const column_tree* tree{nullptr};
};

/// Proves each product of `statement` with the weights of the same number. Does not look whether
/// the sums are true: of false ones the proof fails. Precondition: `check_statement`, and weights
/// of the shapes and trees of the roots that it names.
[[nodiscard]] product_proof prove_products(const proof_statement& statement,
                                           std::span<const proven_weights> weights,
                                           compute::parallel_runner& runner);

/// The steps of it, for what measures them. What a group's sum-check leaves for its opening:
struct opened_sum {
  group_proof proof; ///< without openings
  std::vector<std::uint32_t> columns;
};
[[nodiscard]] opened_sum prove_group_sum(const proof_statement& statement,
                                         std::span<const std::size_t> group,
                                         std::span<const proven_weights> weights,
                                         compute::parallel_runner& runner, transcript& script);
/// Columns `columns` of one tensor.
[[nodiscard]] std::vector<column_opening> open_columns(const committed_tensor& tensor,
                                                       const proven_weights& weights,
                                                       std::span<const std::uint32_t> columns,
                                                       compute::parallel_runner& runner);

} // namespace ovir::proofs
