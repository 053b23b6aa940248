#pragma once

#include "storage/env/env.hpp"
#include "verify/proofs/commitment.hpp"

#include <optional>
#include <string>

/// Leaves of commitments as files, so that who proves need not commit again: one file for each
/// root, 32 bytes for each column.
namespace ovir::apps {

[[nodiscard]] result<void> write_tree(storage::env& environment, const std::string& folder,
                                      const proofs::tensor_commitment& made);
/// The tree of `tensor`; nothing where the folder has none, or another one than its root says.
[[nodiscard]] std::optional<proofs::column_tree> read_tree(storage::env& environment,
                                                           const std::string& folder,
                                                           const proofs::committed_tensor& tensor);

} // namespace ovir::apps
