#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

/// The Merkle tree of RFC 9162, section 2.1, over BLAKE3: a leaf is H("ovir/ledger/v1/leaf";
/// entry), an inner node H("ovir/ledger/v1/node"; left, right). The two domains take the place of
/// the RFC's prefix bytes. The root of no leaves is H("ovir/ledger/v1/leaf"; nothing).
namespace ovir::ledger {

[[nodiscard]] digest leaf_hash(std::span<const std::byte> entry);
[[nodiscard]] digest node_hash(const digest& left, const digest& right);
[[nodiscard]] digest empty_root();

/// The root of a growing tree, in the memory of its right edge: at most 64 digests.
class merkle_frontier {
public:
  void append(const digest& leaf);
  /// As so many leaves at once, whose root is known. `leaves` is a power of two that divides
  /// `size`.
  void append_tree(const digest& root, std::uint64_t leaves);
  /// As the leaves of another tree, one by one; they fit between two multiples of a power of two.
  void append_right(const merkle_frontier& right);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] digest root() const;
  /// Roots of complete subtrees, the largest first: as many as `size()` has bits set.
  [[nodiscard]] const std::vector<digest>& peaks() const noexcept { return peaks_; }
  /// Inverse of `size` and `peaks`. Nothing unless they fit each other.
  [[nodiscard]] static std::optional<merkle_frontier> from_peaks(std::uint64_t size,
                                                                 std::vector<digest> peaks);
  friend bool operator==(const merkle_frontier&, const merkle_frontier&) = default;

private:
  std::uint64_t size_{0};
  std::vector<digest> peaks_; ///< roots of complete subtrees, the largest first
};

/// A growing tree whose complete subtrees are kept, for proofs that read nothing: 64 bytes a leaf.
/// Subtrees are hashed when they are first asked for.
///
/// One thread at a time, also for what is const.
class merkle_nodes {
public:
  void append(const digest& leaf) { levels_.front().push_back(leaf); }
  [[nodiscard]] std::uint64_t size() const noexcept { return levels_.front().size(); }
  [[nodiscard]] const std::vector<digest>& leaves() const noexcept { return levels_.front(); }
  /// The root over leaves [first, first + count). Precondition: 0 < count, all of them are there,
  /// and `first` is a multiple of the least power of two that is not below `count`.
  [[nodiscard]] digest root(std::uint64_t first, std::uint64_t count) const;

private:
  /// levels_[k][i] is the root over the leaves [i 2^k, (i + 1) 2^k).
  mutable std::vector<std::vector<digest>> levels_{1};
};

/// The root over leaves [first, first + count) of somebody's log. `first` is a multiple of the
/// least power of two that is not below `count`.
using range_root = std::function<result<digest>(std::uint64_t first, std::uint64_t count)>;

/// A `range_root` over leaves in memory.
[[nodiscard]] digest root_of(std::span<const digest> leaves);

/// PATH(index, D[size]): proves that a leaf is in the tree of `size`. Precondition: index < size.
[[nodiscard]] result<std::vector<digest>> inclusion_proof(std::uint64_t index, std::uint64_t size,
                                                          const range_root& range);
/// PROOF(first, D[second]): proves that the tree of `second` begins with that of `first`.
/// Precondition: 0 < first <= second. Empty when they are equal.
[[nodiscard]] result<std::vector<digest>>
consistency_proof(std::uint64_t first, std::uint64_t second, const range_root& range);

/// RFC 9162, 2.1.3.2. False for a proof of another length, and for index >= size.
[[nodiscard]] bool verify_inclusion(const digest& leaf, std::uint64_t index, std::uint64_t size,
                                    std::span<const digest> proof, const digest& root);
/// RFC 9162, 2.1.4.2. False for first = 0, and for first > second.
[[nodiscard]] bool verify_consistency(std::uint64_t first, const digest& first_root,
                                      std::uint64_t second, const digest& second_root,
                                      std::span<const digest> proof);

} // namespace ovir::ledger
