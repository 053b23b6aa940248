#include "ledger/log/merkle.hpp"

#include "messages/check.hpp"
#include "messages/short_hash.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace ovir::ledger {

namespace {

/// The largest power of two below `n`; n > 1.
std::uint64_t split_of(std::uint64_t n) { return std::bit_floor(n - 1); }

} // namespace

// A hasher for each thread: it is scratch, and says nothing about what was hashed before.
digest leaf_hash(std::span<const std::byte> entry) {
  thread_local short_hasher leaves{"ovir/ledger/v1/leaf"};
  return leaves(entry);
}

digest node_hash(const digest& left, const digest& right) {
  thread_local short_hasher nodes{"ovir/ledger/v1/node"};
  const std::array<digest, 2> both{left, right};
  return nodes(std::as_bytes(std::span{both}));
}

digest empty_root() { return leaf_hash({}); }

void merkle_frontier::append(const digest& leaf) {
  digest node = leaf;
  for (std::uint64_t n = size_; n % 2 == 1; n /= 2) {
    node = node_hash(peaks_.back(), node);
    peaks_.pop_back();
  }
  peaks_.push_back(node);
  ++size_;
}

void merkle_frontier::append_tree(const digest& root, std::uint64_t leaves) {
  OVIR_CHECK(std::has_single_bit(leaves) && size_ % leaves == 0, size_, leaves);
  digest node = root;
  for (std::uint64_t n = size_ / leaves; n % 2 == 1; n /= 2) {
    node = node_hash(peaks_.back(), node);
    peaks_.pop_back();
  }
  peaks_.push_back(node);
  size_ += leaves;
}

void merkle_frontier::append_right(const merkle_frontier& right) {
  OVIR_CHECK(right.size_ == 0 || size_ % std::bit_ceil(right.size_) == 0, size_, right.size_);
  peaks_.insert(peaks_.end(), right.peaks_.begin(), right.peaks_.end());
  size_ += right.size_;
}

std::optional<merkle_frontier> merkle_frontier::from_peaks(std::uint64_t size,
                                                           std::vector<digest> peaks) {
  if (static_cast<std::size_t>(std::popcount(size)) != peaks.size()) {
    return std::nullopt;
  }
  merkle_frontier made;
  made.size_ = size;
  made.peaks_ = std::move(peaks);
  return made;
}

digest merkle_frontier::root() const {
  if (peaks_.empty()) {
    return empty_root();
  }
  digest root = peaks_.back();
  for (std::size_t i = peaks_.size() - 1; i > 0; --i) {
    root = node_hash(peaks_[i - 1], root);
  }
  return root;
}

digest merkle_nodes::root(std::uint64_t first, std::uint64_t count) const {
  OVIR_CHECK(count > 0 && first + count <= size() && first % std::bit_ceil(count) == 0, first,
             count);
  if (!std::has_single_bit(count)) {
    const std::uint64_t left = split_of(count);
    return node_hash(root(first, left), root(first + left, count - left));
  }
  const auto level = static_cast<std::size_t>(std::countr_zero(count));
  levels_.resize(std::max(levels_.size(), level + 1));
  for (std::size_t k = 1; k <= level; ++k) {
    const std::vector<digest>& below = levels_[k - 1];
    std::vector<digest>& nodes = levels_[k];
    while (nodes.size() < below.size() / 2) {
      nodes.push_back(node_hash(below[2 * nodes.size()], below[2 * nodes.size() + 1]));
    }
  }
  return levels_[level][static_cast<std::size_t>(first / count)];
}

digest root_of(std::span<const digest> leaves) {
  merkle_frontier tree;
  for (const digest& leaf : leaves) {
    tree.append(leaf);
  }
  return tree.root();
}

result<std::vector<digest>> inclusion_proof(std::uint64_t index, std::uint64_t size,
                                            const range_root& range) {
  OVIR_CHECK(index < size, index, size);
  std::vector<digest> from_top;
  std::uint64_t first = 0;
  while (size > 1) {
    const std::uint64_t k = split_of(size);
    if (index < k) {
      OVIR_ASSIGN(const digest right, range(first + k, size - k));
      from_top.push_back(right);
      size = k;
    } else {
      OVIR_ASSIGN(const digest left, range(first, k));
      from_top.push_back(left);
      index -= k;
      first += k;
      size -= k;
    }
  }
  return std::vector<digest>{from_top.rbegin(), from_top.rend()};
}

result<std::vector<digest>> consistency_proof(std::uint64_t first, std::uint64_t second,
                                              const range_root& range) {
  OVIR_CHECK(first > 0 && first <= second, first, second);
  std::vector<digest> from_top;
  std::uint64_t m = first;
  std::uint64_t n = second;
  std::uint64_t begin = 0;
  bool whole = true; // the old tree is still all of what we look at
  while (m != n) {
    const std::uint64_t k = split_of(n);
    if (m <= k) {
      OVIR_ASSIGN(const digest right, range(begin + k, n - k));
      from_top.push_back(right);
      n = k;
    } else {
      OVIR_ASSIGN(const digest left, range(begin, k));
      from_top.push_back(left);
      begin += k;
      m -= k;
      n -= k;
      whole = false;
    }
  }
  if (!whole) {
    OVIR_ASSIGN(const digest old_part, range(begin, m));
    from_top.push_back(old_part);
  }
  return std::vector<digest>{from_top.rbegin(), from_top.rend()};
}

bool verify_inclusion(const digest& leaf, std::uint64_t index, std::uint64_t size,
                      std::span<const digest> proof, const digest& root) {
  if (index >= size) {
    return false;
  }
  std::uint64_t fn = index;
  std::uint64_t sn = size - 1;
  digest r = leaf;
  for (const digest& p : proof) {
    if (sn == 0) {
      return false;
    }
    if (fn % 2 == 1 || fn == sn) {
      r = node_hash(p, r);
      while (fn % 2 == 0 && fn != 0) {
        fn /= 2;
        sn /= 2;
      }
    } else {
      r = node_hash(r, p);
    }
    fn /= 2;
    sn /= 2;
  }
  return sn == 0 && r == root;
}

bool verify_consistency(std::uint64_t first, const digest& first_root, std::uint64_t second,
                        const digest& second_root, std::span<const digest> proof) {
  if (first == 0 || first > second) {
    return false;
  }
  if (first == second) {
    return proof.empty() && first_root == second_root;
  }
  std::vector<digest> path;
  if (std::has_single_bit(first)) {
    path.push_back(first_root);
  }
  path.insert(path.end(), proof.begin(), proof.end());
  if (path.empty()) {
    return false;
  }
  std::uint64_t fn = first - 1;
  std::uint64_t sn = second - 1;
  while (fn % 2 == 1) {
    fn /= 2;
    sn /= 2;
  }
  digest fr = path.front();
  digest sr = path.front();
  for (std::size_t i = 1; i < path.size(); ++i) {
    if (sn == 0) {
      return false;
    }
    if (fn % 2 == 1 || fn == sn) {
      fr = node_hash(path[i], fr);
      sr = node_hash(path[i], sr);
      while (fn % 2 == 0 && fn != 0) {
        fn /= 2;
        sn /= 2;
      }
    } else {
      sr = node_hash(sr, path[i]);
    }
    fn /= 2;
    sn /= 2;
  }
  return sn == 0 && fr == first_root && sr == second_root;
}

} // namespace ovir::ledger
