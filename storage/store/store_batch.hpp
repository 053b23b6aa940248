#pragma once

#include "storage/store/content_store.hpp"

#include <set>

namespace ovir::storage {

/// A batch of the store while it is planned: what it will write, and what the store will be once it
/// is written. Dropped, nothing has happened.
struct content_store::batch {
  struct block_write {
    std::uint64_t offset;
    std::span<const std::byte> bytes;
  };

  std::uint64_t now{0};
  index_changes changes;
  std::vector<block_write> writes;
  std::vector<extent> taken; ///< by this batch, from the store's map
  std::vector<extent> freed; ///< once it is committed
  std::array<kind_usage, content_kinds.size()> usage{};
  std::array<kind_counters, content_kinds.size()> counters{};
  std::set<entry_place> kept; ///< put by this batch: not evicted by it
  std::array<std::vector<entry>, content_kinds.size()> victims; ///< of the last pass, best last
  std::array<bool, content_kinds.size()> exhausted{};           ///< nothing more may go
  bool twice{false}; ///< what went must not come back, even from the state before
};

} // namespace ovir::storage
