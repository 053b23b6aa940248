#include "messages/digest_tree.hpp"

#include "messages/check.hpp"
#include "messages/short_hash.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace ovir {

namespace {

digest node_of(const digest& left, const digest& right) {
  thread_local short_hasher nodes{"ovir/evidence/v1/node"};
  std::array<std::byte, 2 * digest::size> both{};
  std::memcpy(both.data(), left.bytes.data(), digest::size);
  std::memcpy(both.data() + digest::size, right.bytes.data(), digest::size);
  return nodes(both);
}

} // namespace

digest tree_root(std::span<const digest> leaves) {
  growing_tree tree;
  for (const digest& leaf : leaves) {
    tree.add(leaf);
  }
  return tree.root();
}

// As a binary counter: two subtrees of equal size become one of twice that size.
void growing_tree::add(const digest& leaf) {
  digest top = leaf;
  for (std::uint64_t carry = size_; (carry & 1U) != 0; carry >>= 1U) {
    top = node_of(subtrees_.back(), top);
    subtrees_.pop_back();
  }
  subtrees_.push_back(top);
  ++size_;
}

digest growing_tree::root() const {
  if (subtrees_.empty()) {
    return hash("ovir/evidence/v1/empty", {});
  }
  digest top = subtrees_.back();
  for (std::size_t i = subtrees_.size() - 1; i > 0; --i) {
    top = node_of(subtrees_[i - 1], top);
  }
  return top;
}

std::vector<digest> tree_proof(std::span<const digest> leaves, std::size_t index) {
  OVIR_CHECK(index < leaves.size(), index, leaves.size());
  std::vector<digest> from_the_top;
  while (leaves.size() > 1) {
    const std::size_t left = std::bit_floor(leaves.size() - 1);
    if (index < left) {
      from_the_top.push_back(tree_root(leaves.subspan(left)));
      leaves = leaves.first(left);
    } else {
      from_the_top.push_back(tree_root(leaves.first(left)));
      leaves = leaves.subspan(left);
      index -= left;
    }
  }
  return {from_the_top.rbegin(), from_the_top.rend()};
}

// RFC 9162, section 2.1.3.2.
std::optional<digest> root_from_proof(const digest& leaf, std::uint64_t index, std::uint64_t count,
                                      std::span<const digest> proof) {
  if (index >= count) {
    return std::nullopt;
  }
  digest top = leaf;
  std::uint64_t at = index;
  std::uint64_t last = count - 1;
  for (const digest& neighbour : proof) {
    if (last == 0) {
      return std::nullopt;
    }
    if ((at & 1U) != 0 || at == last) {
      top = node_of(neighbour, top);
      while ((at & 1U) == 0 && at != 0) {
        at >>= 1U;
        last >>= 1U;
      }
    } else {
      top = node_of(top, neighbour);
    }
    at >>= 1U;
    last >>= 1U;
  }
  return last == 0 ? std::optional{top} : std::nullopt;
}

} // namespace ovir
