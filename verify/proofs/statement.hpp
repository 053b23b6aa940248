#pragma once

#include "compute/kernels/kernels.hpp"
#include "messages/digest.hpp"
#include "messages/limits/proofs.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What a proof is about: products S = W x of exact-1, section 3, before they are rounded. W are
/// the integer weights D * scale * w - M * min of a tensor, known by their commitment alone; x are
/// the activations q * m * k and S the sums, both in the open. docs/proofs/products.md.
namespace ovir::proofs {

/// A tensor as the public knows it: all that its bytes determine (commitment.hpp makes it).
struct committed_tensor {
  compute::tensor_type type{compute::tensor_type::q8_0};
  std::uint32_t rows{0};
  std::uint32_t cols{0};
  /// Rows of the tensor that are one row of the committed matrix; a power of two.
  std::uint32_t fold{1};
  std::uint64_t row_sum_max{0}; ///< the largest sum of |W| over a row
  digest root;                  ///< of the tree over the columns of the encoded matrix

  friend bool operator==(const committed_tensor&, const committed_tensor&) = default;

  /// Weights in one row of the committed matrix.
  [[nodiscard]] std::uint32_t span() const noexcept { return fold * cols; }
  /// Rows of the committed matrix.
  [[nodiscard]] std::uint32_t folded_rows() const noexcept { return (rows + fold - 1) / fold; }
};

/// What is published of a commitment: it binds the shape, too, because one root fits every shape
/// with the same `span`. A reader compares it with the one of the tensor that a statement is about.
[[nodiscard]] digest commitment_digest(const committed_tensor& tensor);

/// The product of a tensor with the activations of some tokens.
struct product_claim {
  committed_tensor weights;
  /// Of `form`, `tokens`, `cols`, `q`, `k` and `m` alone; the scale u takes no part in S.
  compute::quantized_batch inputs;
  std::vector<std::int64_t> sums; ///< S, [tokens][rows]
};

struct proof_statement {
  digest context; ///< what the caller binds the proof to: receipt, layer, window
  std::vector<product_claim> products;
};

/// No honest |S| of a product of `form` is larger than the largest sum of |W| times this.
[[nodiscard]] std::uint64_t activation_most(compute::activation_form form) noexcept;

/// A tensor in form: of a type with integer products, within limits, its sums below 2^60.
[[nodiscard]] result<void> check_tensor(const committed_tensor& tensor);

/// Shapes, ranges and bounds; what makes sums equal as integers that are equal in the field.
/// `malformed` or `over_limit`, naming the product.
[[nodiscard]] result<void> check_statement(const proof_statement& statement);

/// docs/formats/proof.md. Precondition: `check_statement`.
[[nodiscard]] std::vector<std::byte> encode_statement(const proof_statement& statement);
/// Only what `check_statement` passes; one encoding for each. u and the sums of q are set to 0 and
/// to what they are.
[[nodiscard]] result<proof_statement> decode_statement(std::span<const std::byte> bytes);

/// Fields of one product as the format has them, without its head: what a transcript absorbs.
struct product_bytes {
  std::vector<std::byte> tensor;
  std::vector<std::byte> inputs;
  std::vector<std::byte> sums;
};
[[nodiscard]] product_bytes bytes_of(const product_claim& product);

} // namespace ovir::proofs
