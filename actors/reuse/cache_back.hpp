#pragma once

#include "messages/result.hpp"
#include "storage/env/env.hpp"
#include "storage/store/content_store.hpp"
#include "storage/store/memory_tier.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// Inputs of windows (actors/reuse/kept_inputs.hpp).
[[nodiscard]] constexpr bool is_input(storage::content_kind kind) noexcept {
  return kind == storage::content_kind::inputs || kind == storage::content_kind::boundaries;
}

/// One thing on its way to the disk.
struct cache_write {
  storage::content_kind kind{storage::content_kind::kv};
  storage::content_owner owner;
  digest key;   ///< unsalted
  digest place; ///< the key as it is looked up
  storage::memory_tier::bytes_pointer bytes;
  std::uint64_t cost_us{0};
  storage::provenance from{};
};
/// What goes to the disk in one commit.
struct cache_batch {
  std::vector<cache_write> writes;
  std::vector<storage::lookup_answer> notes; ///< without their bytes
  bool quarantine{false};                    ///< first all that is on the disk goes
};
struct cache_committed {
  std::vector<digest> places; ///< of its writes
  std::uint64_t kept{0};      ///< of blocks and answers
  std::uint64_t not_kept{0};
  std::uint64_t inputs_kept{0};
  std::uint64_t inputs_not_kept{0};
  std::uint64_t disk_bytes{0};
  std::optional<storage::store_reader> reader; ///< anew; none: the store is lost
  std::vector<std::string> warnings;
  bool quarantine{false}; ///< what was on the disk is gone
  std::uint64_t quarantined{0};
};

/// The back of the cache: writes batches to the store, on a thread that may wait for the disk.
class cache_back {
public:
  /// `store` may be null: then nothing is committed. `environment` outlives the back.
  cache_back(std::unique_ptr<storage::content_store> store, storage::env& environment);

  /// Precondition: there is a store, and none was lost.
  [[nodiscard]] cache_committed commit(cache_batch&& taken);

  // Before the first commit alone
  [[nodiscard]] const storage::content_store* store() const noexcept { return store_.get(); }
  /// The places of the blocks that an earlier life kept, the longest unused first; none where the
  /// index cannot be read whole.
  [[nodiscard]] std::vector<digest> places_of_blocks() const;

private:
  [[nodiscard]] result<std::uint64_t> remove_all(std::uint64_t now);

  std::unique_ptr<storage::content_store> store_;
  storage::env& env_;
};

} // namespace ovir::actors
