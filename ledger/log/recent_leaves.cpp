#include "ledger/log/recent_leaves.hpp"

#include "ledger/log/log_format.hpp"

namespace ovir::ledger {

namespace {

constexpr std::size_t blocks_in_memory = 64;

} // namespace

recent_leaves::recent_leaves(std::uint64_t size)
    : size_(size), from_((size + block_leaves - 1) / block_leaves * block_leaves) {}

void recent_leaves::append(const digest& leaf) {
  const std::uint64_t index = size_++;
  if (index < from_) {
    return;
  }
  if (index % block_leaves == 0) {
    blocks_.emplace_back();
  }
  blocks_.back().append(leaf);
  if (blocks_.size() > blocks_in_memory) {
    blocks_.pop_front();
    from_ += block_leaves;
  }
}

std::optional<digest> recent_leaves::root(std::uint64_t first, std::uint64_t count) const {
  if (first < from_ || first + count > size_ || first % block_leaves + count > block_leaves) {
    return std::nullopt;
  }
  return blocks_[static_cast<std::size_t>((first - from_) / block_leaves)].root(
      first % block_leaves, count);
}

} // namespace ovir::ledger
