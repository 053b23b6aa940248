#pragma once

#include "compute/base/parallel.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/result.hpp"
#include "verify/proofs/column_tree.hpp"
#include "verify/proofs/statement.hpp"

#include <cstdint>
#include <string_view>

/// Public commitments of tensors: the integer weights as a matrix whose rows are encoded
/// (reed_solomon.hpp) and whose encoded columns are the leaves of a tree. A root is a function of
/// the tensor's bytes and `fold` alone: everyone who has the tensor computes the same.
namespace ovir::proofs {

struct tensor_commitment {
  committed_tensor tensor;
  column_tree tree;
};

/// The fold that models are committed with: the largest that keeps a committed row within 2^15
/// weights. Proofs share a row of that length over all tensors of one width, so that a longer one
/// costs little.
[[nodiscard]] std::uint32_t fold_for(std::uint32_t rows, std::uint32_t cols) noexcept;

/// `unsupported` or `over_limit` for tensors without such products (check_tensor); `name` is for
/// the sentence. Holds 16 bytes for each weight / 2, and 64 for each column. Precondition: usable
/// scales (`check_weights`).
[[nodiscard]] result<tensor_commitment> commit_tensor(const compute::weight& w, std::uint32_t fold,
                                                      std::string_view name,
                                                      compute::parallel_runner& runner);

} // namespace ovir::proofs
