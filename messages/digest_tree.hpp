#pragma once

#include "messages/digest.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Merkle trees over digests in the shape of RFC 9162: the left part of a tree holds the largest
/// power of two of leaves below their number. Nodes are H("ovir/evidence/v1/node"; left, right), a
/// tree of one leaf is that leaf, one of none H("ovir/evidence/v1/empty"). Whoever signs a root
/// signs the number of leaves, too: the root alone does not say it.
namespace ovir {

/// The root of `leaves`. Cost: one hash per leaf.
[[nodiscard]] digest tree_root(std::span<const digest> leaves);

/// A tree that grows at its end and keeps only the roots of its perfect subtrees.
class growing_tree {
public:
  void add(const digest& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Equals `tree_root` of all leaves added. Cost: at most 63 hashes.
  [[nodiscard]] digest root() const;

private:
  std::vector<digest> subtrees_; ///< one per bit of `size_`, the largest first
  std::uint64_t size_{0};
};

/// The neighbours on the way from leaf `index` to the root, lowest first. Precondition: `index` is
/// a leaf's.
[[nodiscard]] std::vector<digest> tree_proof(std::span<const digest> leaves, std::size_t index);

/// The root that `leaf` and `proof` lead to; nothing where a proof for leaf `index` of `count` has
/// another length.
[[nodiscard]] std::optional<digest> root_from_proof(const digest& leaf, std::uint64_t index,
                                                    std::uint64_t count,
                                                    std::span<const digest> proof);

} // namespace ovir
