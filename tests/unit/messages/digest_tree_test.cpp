#include "messages/digest_tree.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

std::vector<digest> leaves_of(std::size_t count) {
  std::vector<digest> leaves;
  for (std::size_t i = 0; i < count; ++i) {
    leaves.push_back(hasher{"ovir/test/leaf"}.update_u64(i).finish());
  }
  return leaves;
}

digest node(const digest& a, const digest& b) {
  return hasher{"ovir/evidence/v1/node"}.update(a).update(b).finish();
}

TEST(digest_tree, has_the_shape_of_rfc_9162) {
  const auto d = leaves_of(7);
  EXPECT_EQ(tree_root({}), hash("ovir/evidence/v1/empty", {}));
  EXPECT_EQ(tree_root(std::span{d}.first(1)), d[0]);
  EXPECT_EQ(tree_root(std::span{d}.first(3)), node(node(d[0], d[1]), d[2]));
  EXPECT_EQ(tree_root(d),
            node(node(node(d[0], d[1]), node(d[2], d[3])), node(node(d[4], d[5]), d[6])));
}

// All trees of up to 40 leaves, every leaf, and every way to cheat with its proof.
TEST(digest_tree, proves_each_leaf_and_nothing_else) {
  for (std::size_t count = 1; count <= 40; ++count) {
    const auto leaves = leaves_of(count);
    const digest root = tree_root(leaves);
    growing_tree grown;
    for (const digest& leaf : leaves) {
      grown.add(leaf);
    }
    EXPECT_EQ(grown.root(), root);
    EXPECT_EQ(grown.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      auto proof = tree_proof(leaves, i);
      EXPECT_EQ(root_from_proof(leaves[i], i, count, proof), root) << count << " " << i;
      EXPECT_FALSE(root_from_proof(leaves[i], count, count, proof));
      for (std::size_t other = 0; other < count; ++other) {
        if (other != i) {
          EXPECT_NE(root_from_proof(leaves[i], other, count, proof), root);
          EXPECT_NE(root_from_proof(leaves[other], i, count, proof), root);
        }
      }
      proof.push_back(root);
      EXPECT_FALSE(root_from_proof(leaves[i], i, count, proof));
      proof.pop_back();
      if (!proof.empty()) {
        proof.pop_back();
        EXPECT_FALSE(root_from_proof(leaves[i], i, count, proof));
      }
    }
  }
}

} // namespace
} // namespace ovir
