#pragma once

#include "tests/support/model/kernel_inputs.hpp"
#include "verify/proofs/product_prover.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/// Statements of products with their proofs, honest and forged. A forger has the weights, trees and
/// code of the prover.
namespace ovir::test {

/// A tensor, its commitment and the product with some activations.
struct proven_product {
  owned_weight weights;
  proofs::tensor_commitment commitment;
  proofs::product_claim claim;

  [[nodiscard]] proofs::proven_weights proven() const { return {&weights.view, &commitment.tree}; }
};

/// S by the definition: 128 bits, weight by weight.
[[nodiscard]] std::vector<std::int64_t> plain_sums(const compute::weight& w,
                                                   const compute::quantized_batch& x);

/// a and b of the base field with a * x + b * y = z. Precondition: x / y is not in the base field.
[[nodiscard]] std::pair<std::uint64_t, std::uint64_t>
solve_over_base(proofs::element x, proofs::element y, proofs::element z);

struct product_shape {
  compute::tensor_type type{compute::tensor_type::q4_k};
  std::uint32_t rows{0};
  std::uint32_t cols{0};
  std::uint32_t fold{1};
  std::uint32_t tokens{1};
};
[[nodiscard]] proven_product make_product(kernel_random& random, const product_shape& shape);

[[nodiscard]] proofs::proof_statement statement_of(const std::vector<proven_product>& products,
                                                   std::uint8_t context);
[[nodiscard]] proofs::product_proof prove(const proofs::proof_statement& statement,
                                          const std::vector<proven_product>& products);

struct proof_case {
  std::string kind;
  bool honest{false};
  std::vector<std::byte> statement;
  std::vector<std::byte> proof;
};

/// Several honest cases of small shapes, and a forgery of each kind.
[[nodiscard]] std::vector<proof_case> make_proof_cases(std::uint64_t seed);

} // namespace ovir::test
