#include "actors/reuse/cache_tiers.hpp"
#include "messages/limits/cache.hpp"

#include <algorithm>
#include <utility>

// What the tiers do after a conviction (docs/adr/0012-reuse.md).

namespace ovir::actors {

using storage::content_kind;

std::uint64_t cache_tiers::quarantine(std::function<void()> done) {
  // Of a store, what it holds is counted when it is removed.
  report_.quarantined += reader_ ? queue_.size() : memory_.entries();
  memory_.clear();
  queue_.clear();
  queue_bytes_ = 0;
  unwritten_.clear(); // a batch under way is on the disk when that is emptied
  claimed_.clear();
  spent_.clear();
  fresh_.clear();
  places_.clear();
  ++era_;
  if (!reader_) {
    done();
    return era_;
  }
  quarantines_ = true;
  quarantine_taken_ = false; // one that is under way began before this
  quarantine_done_.push_back(std::move(done));
  return era_;
}

bool cache_tiers::is_tainted(std::uint64_t era) {
  report_.tainted += era == era_ ? 0 : 1;
  return era != era_;
}

void cache_tiers::end_quarantine(bool removed) {
  if (!std::exchange(quarantine_taken_, false) || !removed) {
    return;
  }
  quarantines_ = false;
  for (const std::function<void()>& done : std::exchange(quarantine_done_, {})) {
    done();
  }
}

/// The back's. Blocks and answers; weights are checked by their digest and follow from nobody.
result<std::uint64_t> cache_tiers::remove_all(std::uint64_t now) {
  std::vector<storage::store_change> all;
  OVIR_TRY(store_->visit([&all](const storage::entry& e) {
    if (e.kind == content_kind::kv || e.kind == content_kind::results) {
      all.emplace_back(storage::remove_content{{e.kind, e.name}});
    }
  }));
  for (std::size_t first = 0; first < all.size(); first += limits::store_changes_max) {
    const std::size_t count = std::min(limits::store_changes_max, all.size() - first);
    OVIR_TRY(store_->commit(std::span{all}.subspan(first, count), now));
  }
  return all.size();
}

} // namespace ovir::actors
