#include "verify/proofs/column_tree.hpp"

#include "messages/check.hpp"
#include "messages/digest_tree.hpp"

#include <bit>

namespace ovir::proofs {

static_assert(sizeof(element) == 16 && std::endian::native == std::endian::little,
              "elements are hashed in memory order");

digest column_digest(std::span<const element> column) {
  return hash("ovir/proof/v1/column", std::as_bytes(column));
}

column_tree::column_tree(std::vector<digest> leaves) {
  OVIR_CHECK(std::has_single_bit(leaves.size()), leaves.size());
  levels_.push_back(std::move(leaves));
  while (levels_.back().size() > 1) {
    const std::vector<digest>& below = levels_.back();
    std::vector<digest> level(below.size() / 2);
    for (std::size_t i = 0; i < level.size(); ++i) {
      level[i] = tree_root(std::span{below}.subspan(2 * i, 2));
    }
    levels_.push_back(std::move(level));
  }
}

std::vector<digest> column_tree::path(std::size_t index) const {
  OVIR_CHECK(index < leaves().size(), index);
  std::vector<digest> path;
  for (std::size_t level = 0; level + 1 < levels_.size(); ++level, index /= 2) {
    path.push_back(levels_[level][index ^ 1U]);
  }
  return path;
}

} // namespace ovir::proofs
