#pragma once

#include "ledger/log/merkle.hpp"

#include <cstdint>
#include <deque>
#include <optional>

namespace ovir::ledger {

/// The leaves of a log's last blocks with the subtrees over them, so that what was just entered is
/// proved without reading: at most 1 MiB. A block is a run of `block_leaves` leaves.
///
/// One thread at a time, also for what is const.
class recent_leaves {
public:
  recent_leaves() = default;
  /// Of a log that already has `size` leaves, which nobody tells.
  explicit recent_leaves(std::uint64_t size);

  /// The log's next leaf. One of a block whose first leaf is not known is left out.
  void append(const digest& leaf);
  /// The root over leaves [first, first + count); nothing where they are not in memory or not of
  /// one block. Precondition: as for `merkle_nodes::root`.
  [[nodiscard]] std::optional<digest> root(std::uint64_t first, std::uint64_t count) const;

private:
  std::uint64_t size_{0};
  std::uint64_t from_{0}; ///< the first leaf of `blocks_`
  std::deque<merkle_nodes> blocks_;
};

} // namespace ovir::ledger
