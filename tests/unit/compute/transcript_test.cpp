#include "compute/model/transcript.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace ovir::compute {

namespace {

constexpr std::uint32_t dim = 3;

std::vector<float> rows_of(position first, std::uint32_t count) {
  std::vector<float> rows(std::size_t{count} * dim);
  std::iota(rows.begin(), rows.end(), static_cast<float>(first * dim));
  return rows;
}

std::vector<unit_leaf> leaves_in_chunks(std::uint32_t total, std::uint32_t chunk) {
  unit_digests units{{0, 1}};
  std::vector<unit_leaf> leaves;
  for (position p = 0; p < total; p += chunk) {
    const std::uint32_t n = std::min(chunk, total - p);
    units.add(0, p, n, rows_of(p, n), dim, leaves);
  }
  for (const unit_leaf& leaf : units.open_leaves()) {
    leaves.push_back(leaf);
  }
  return leaves;
}

digest root_of(const std::vector<unit_leaf>& leaves, std::uint32_t positions) {
  transcript t;
  for (const unit_leaf& leaf : leaves) {
    EXPECT_TRUE(t.add_unit(leaf));
  }
  const token_id tokens[] = {1, 2, 3};
  const auto root = t.root(1, positions, tokens);
  EXPECT_TRUE(root) << root.error().message;
  return root ? *root : digest{};
}

} // namespace

TEST(transcript, does_not_show_how_positions_were_chunked) {
  const auto whole = leaves_in_chunks(77, 77);
  ASSERT_EQ(whole.size(), 3U);
  EXPECT_EQ(whole[2].positions, 13U);
  for (std::uint32_t chunk = 1; chunk < 77; ++chunk) {
    EXPECT_EQ(leaves_in_chunks(77, chunk), whole) << chunk;
  }
}

TEST(transcript, does_not_show_that_windows_were_digested_elsewhere) {
  const auto whole = leaves_in_chunks(77, 77);
  unit_digests units{{0, 1}};
  std::vector<unit_leaf> leaves;
  units.add(0, 0, 32, rows_of(0, 32), dim, leaves);
  units.add_window(0, whole[1].boundary, leaves);
  units.add(0, 64, 13, rows_of(64, 13), dim, leaves);
  leaves.push_back(units.open_leaves().at(0));
  EXPECT_EQ(leaves, whole);
}

TEST(transcript, does_not_show_the_order_leaves_arrived_in) {
  auto leaves = leaves_in_chunks(77, 7);
  const digest forward = root_of(leaves, 77);
  std::reverse(leaves.begin(), leaves.end());
  EXPECT_EQ(root_of(leaves, 77), forward);
}

TEST(transcript, changes_with_every_bit_of_every_part) {
  const auto leaves = leaves_in_chunks(40, 40);
  const digest before = root_of(leaves, 40);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    auto changed = leaves;
    changed[i].boundary.bytes[31] ^= 1;
    EXPECT_NE(root_of(changed, 40), before);
  }
  transcript t;
  for (const unit_leaf& leaf : leaves) {
    ASSERT_TRUE(t.add_unit(leaf));
  }
  const token_id other[] = {1, 2, 4};
  EXPECT_NE(*t.root(1, 40, other), before);
  const float logits[] = {0, 1};
  ASSERT_TRUE(t.add_logits(39, logits_digest(39, logits)));
  const token_id same[] = {1, 2, 3};
  EXPECT_NE(*t.root(1, 40, same), before);
}

TEST(transcript, refuses_two_values_for_one_unit) {
  const auto leaves = leaves_in_chunks(32, 32);
  transcript t;
  ASSERT_TRUE(t.add_unit(leaves[0]));
  EXPECT_TRUE(t.add_unit(leaves[0]));
  auto other = leaves[0];
  other.boundary.bytes[0] ^= 1;
  EXPECT_EQ(t.add_unit(other).error().code, errc::digest_mismatch);
  const float a[] = {0};
  const float b[] = {1};
  ASSERT_TRUE(t.add_logits(3, logits_digest(3, a)));
  EXPECT_EQ(t.add_logits(3, logits_digest(3, b)).error().code, errc::digest_mismatch);
}

TEST(transcript, has_no_root_while_a_unit_is_missing_or_too_many) {
  const auto leaves = leaves_in_chunks(77, 77);
  for (std::size_t missing = 0; missing < leaves.size(); ++missing) {
    transcript t;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (i != missing) {
        ASSERT_TRUE(t.add_unit(leaves[i]));
      }
    }
    EXPECT_FALSE(t.root(1, 77, {}));
  }
  transcript t;
  for (const unit_leaf& leaf : leaves) {
    ASSERT_TRUE(t.add_unit(leaf));
  }
  EXPECT_TRUE(t.root(1, 77, {}));
  EXPECT_FALSE(t.root(1, 64, {}));
  EXPECT_FALSE(t.root(1, 78, {}));
  EXPECT_FALSE(t.root(2, 77, {}));
}

TEST(transcript, tree_has_the_shape_of_rfc_6962) {
  const auto leaf = [](std::uint8_t i) {
    digest d;
    d.bytes[0] = i;
    return d;
  };
  const auto node = [](const digest& a, const digest& b) {
    return hasher{"ovir/transcript/v1/node"}.update(a).update(b).finish();
  };
  const digest l[] = {leaf(1), leaf(2), leaf(3), leaf(4), leaf(5)};
  const std::span<const digest> all{l};
  EXPECT_EQ(merkle_root(all.first(1)), l[0]);
  EXPECT_EQ(merkle_root(all.first(2)), node(l[0], l[1]));
  EXPECT_EQ(merkle_root(all.first(3)), node(node(l[0], l[1]), l[2]));
  EXPECT_EQ(merkle_root(all), node(node(node(l[0], l[1]), node(l[2], l[3])), l[4]));
  EXPECT_NE(merkle_root({}), l[0]);
}

} // namespace ovir::compute
