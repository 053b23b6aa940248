#pragma once

#include "messages/digest.hpp"
#include "verify/proofs/field.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace ovir::proofs {

/// The leaf of a column of an encoded matrix.
[[nodiscard]] digest column_digest(std::span<const element> column);

/// A Merkle tree of columns that keeps its nodes, so that many paths cost no hash. Its root and
/// paths are those of messages/digest_tree.hpp. 64 bytes for each leaf.
class column_tree {
public:
  /// An empty tree has no root.
  column_tree() = default;
  /// Precondition: a power of two of leaves.
  explicit column_tree(std::vector<digest> leaves);

  [[nodiscard]] const digest& root() const { return levels_.back().front(); }
  [[nodiscard]] std::vector<digest> path(std::size_t index) const;
  [[nodiscard]] std::span<const digest> leaves() const { return levels_.front(); }

private:
  std::vector<std::vector<digest>> levels_; ///< leaves first
};

} // namespace ovir::proofs
