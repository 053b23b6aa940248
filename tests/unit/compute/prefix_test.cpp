#include "compute/forward/prefix.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace ovir::compute {
namespace {

std::vector<token_id> ids(std::size_t count) {
  std::vector<token_id> out(count);
  std::iota(out.begin(), out.end(), 100U);
  return out;
}

TEST(prefix, a_chain_does_not_depend_on_the_pieces_it_was_fed_in) {
  const std::vector<token_id> all = ids(100);
  prefix_chain whole;
  whole.add(all);
  ASSERT_EQ(whole.windows().size(), 3U);
  EXPECT_EQ(whole.length(), 100U);
  for (const std::size_t piece : {1U, 7U, 31U, 32U, 33U, 64U}) {
    prefix_chain pieces;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      pieces.add(std::span{all}.subspan(at, std::min(piece, all.size() - at)));
    }
    EXPECT_EQ(pieces.windows(), whole.windows()) << piece;
  }
}

TEST(prefix, a_changed_id_changes_its_window_and_all_behind_it_but_none_before) {
  const std::vector<token_id> all = ids(96);
  prefix_chain right;
  right.add(all);
  for (std::size_t at = 0; at < all.size(); ++at) {
    std::vector<token_id> wrong = all;
    wrong[at] ^= 1U;
    prefix_chain chain;
    chain.add(wrong);
    for (std::size_t w = 0; w < 3; ++w) {
      EXPECT_EQ(chain.windows()[w] == right.windows()[w], w < at / 32) << at << ", window " << w;
    }
  }
}

TEST(prefix, the_same_window_after_another_one_has_another_name) {
  std::vector<token_id> twice = ids(32);
  const std::vector<token_id> once = twice;
  twice.insert(twice.end(), once.begin(), once.end());
  prefix_chain chain;
  chain.add(twice);
  EXPECT_NE(chain.windows()[0], chain.windows()[1]);
}

TEST(prefix, units_of_other_models_layers_and_prefixes_have_other_keys) {
  const digest a = hash_plain({});
  const digest b = hash("a", {});
  const std::set<digest> keys{unit_key(a, 0, a), unit_key(a, 1, a), unit_key(b, 0, a),
                              unit_key(a, 0, b), unit_key(b, 0, b)};
  EXPECT_EQ(keys.size(), 5U);
}

} // namespace
} // namespace ovir::compute
