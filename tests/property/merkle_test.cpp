#include "ledger/log/merkle.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

namespace ovir::ledger {
namespace {

constexpr std::uint64_t small_trees = 33; ///< all trees below are tried, with all pairs of sizes

digest leaf(std::uint64_t n) { return leaf_hash(std::as_bytes(std::span{&n, 1})); }

/// RFC 9162's definition, read aloud.
digest mth(std::span<const digest> leaves) {
  if (leaves.empty()) {
    return empty_root();
  }
  if (leaves.size() == 1) {
    return leaves.front();
  }
  std::size_t k = 1;
  while (k * 2 < leaves.size()) {
    k *= 2;
  }
  return node_hash(mth(leaves.first(k)), mth(leaves.subspan(k)));
}

class merkle_test : public testing::Test {
protected:
  merkle_test() {
    for (std::uint64_t n = 0; n < small_trees; ++n) {
      leaves.push_back(leaf(n));
    }
  }
  std::span<const digest> all(std::uint64_t size) const { return std::span{leaves}.first(size); }

  std::vector<digest> leaves;
  range_root range = [this](std::uint64_t first, std::uint64_t count) -> result<digest> {
    return mth(std::span{leaves}.subspan(first, count));
  };
};

TEST_F(merkle_test, the_frontiers_root_is_that_of_the_definition) {
  merkle_frontier tree;
  for (std::uint64_t size = 0; size < small_trees; ++size) {
    EXPECT_EQ(tree.root(), mth(all(size))) << size;
    EXPECT_EQ(root_of(all(size)), tree.root());
    tree.append(leaves[size]);
  }
}

TEST_F(merkle_test, the_nodes_roots_are_those_of_the_definition_while_they_grow) {
  merkle_nodes nodes;
  for (std::uint64_t size = 1; size < small_trees; ++size) {
    nodes.append(leaves[size - 1]);
    for (std::uint64_t count = 1; count <= size; ++count) {
      const std::uint64_t step = std::bit_ceil(count);
      for (std::uint64_t first = 0; first + count <= size; first += step) {
        ASSERT_EQ(nodes.root(first, count), mth(all(size).subspan(first, count)));
      }
    }
  }
}

TEST_F(merkle_test, inclusion_is_proved_for_every_leaf_and_for_nothing_else) {
  for (std::uint64_t size = 1; size < small_trees; ++size) {
    const digest root = mth(all(size));
    for (std::uint64_t index = 0; index < size; ++index) {
      const std::vector<digest> proof = inclusion_proof(index, size, range).value();
      ASSERT_TRUE(verify_inclusion(leaves[index], index, size, proof, root));
      for (std::uint64_t other = 0; other < size + 2; ++other) {
        ASSERT_EQ(verify_inclusion(leaves[index], other, size, proof, root), other == index);
      }
      ASSERT_FALSE(verify_inclusion(leaf(999), index, size, proof, root));
      ASSERT_FALSE(verify_inclusion(leaves[index], index, size, proof, leaf(999)));
      for (std::size_t i = 0; i < proof.size(); ++i) {
        std::vector<digest> wrong = proof;
        wrong[i].bytes[i % digest::size] ^= 1;
        ASSERT_FALSE(verify_inclusion(leaves[index], index, size, wrong, root));
        wrong = proof;
        wrong.erase(wrong.begin() + static_cast<long>(i));
        ASSERT_FALSE(verify_inclusion(leaves[index], index, size, wrong, root));
      }
      std::vector<digest> longer = proof;
      longer.push_back(root);
      ASSERT_FALSE(verify_inclusion(leaves[index], index, size, longer, root));
    }
  }
}

TEST_F(merkle_test, consistency_is_proved_between_all_sizes_and_for_no_other_history) {
  for (std::uint64_t second = 1; second < small_trees; ++second) {
    for (std::uint64_t first = 1; first <= second; ++first) {
      const std::vector<digest> proof = consistency_proof(first, second, range).value();
      const digest old_root = mth(all(first));
      const digest new_root = mth(all(second));
      ASSERT_TRUE(verify_consistency(first, old_root, second, new_root, proof));
      // Every history that differs in one of the old leaves.
      for (std::uint64_t changed = 0; changed < first; ++changed) {
        std::vector<digest> forged = leaves;
        forged[changed] = leaf(1'000 + changed);
        const range_root forger = [&](std::uint64_t at, std::uint64_t count) -> result<digest> {
          return mth(std::span{forged}.subspan(at, count));
        };
        const digest forged_root = mth(std::span{forged}.first(second));
        const auto forged_proof = consistency_proof(first, second, forger).value();
        ASSERT_FALSE(verify_consistency(first, old_root, second, forged_root, forged_proof));
        ASSERT_FALSE(verify_consistency(first, old_root, second, forged_root, proof));
      }
      for (std::size_t i = 0; i < proof.size(); ++i) {
        std::vector<digest> wrong = proof;
        wrong[i].bytes[0] ^= 1;
        ASSERT_FALSE(verify_consistency(first, old_root, second, new_root, wrong));
        wrong = proof;
        wrong.pop_back();
        ASSERT_FALSE(verify_consistency(first, old_root, second, new_root, wrong));
      }
      std::vector<digest> longer = proof;
      longer.push_back(new_root);
      ASSERT_FALSE(verify_consistency(first, old_root, second, new_root, longer));
    }
  }
  EXPECT_FALSE(verify_consistency(0, empty_root(), 1, mth(all(1)), {}));
  EXPECT_FALSE(verify_consistency(2, mth(all(2)), 1, mth(all(1)), {}));
}

} // namespace
} // namespace ovir::ledger
