#pragma once

#include "actors/cache_protocol.hpp"
#include "messages/result.hpp"
#include "storage/content_store.hpp"
#include "storage/env.hpp"
#include "storage/memory_tier.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// What the cache holds, in memory and on the disk: outlives the actor in front of it. Without
/// CAF and locks: lookups and `keep` run on one thread at a time, the front, and `commit` on
/// another, the back, so that a lookup never waits for the disk to sync. The two share nothing but
/// the batches that are handed over.
class cache_tiers {
public:
  using bytes_pointer = storage::memory_tier::bytes_pointer;
  using content_kind = storage::content_kind;

  /// What goes to the disk in one commit.
  struct write {
    content_kind kind{content_kind::kv};
    storage::content_owner owner;
    digest key;   ///< unsalted
    digest place; ///< the key as it is looked up
    bytes_pointer bytes;
    std::uint64_t cost_us{0};
  };
  struct batch {
    std::vector<write> writes;
    std::vector<storage::lookup_answer> notes; ///< without their bytes
  };
  struct committed {
    std::vector<digest> places; ///< of its writes
    std::uint64_t kept{0};
    std::uint64_t not_kept{0};
    std::optional<storage::store_reader> reader; ///< anew; none: the store is lost
    std::vector<std::string> warnings;
  };

  /// `store` may be null: then memory alone. `environment` outlives the tiers.
  cache_tiers(std::size_t memory_bytes_max, std::unique_ptr<storage::content_store> store,
              storage::env& environment);

  // The front

  [[nodiscard]] units_found find(const find_units& wanted);
  void keep(const keep_units& units);
  /// The finished answer, or as many windows of its draws as there are.
  [[nodiscard]] request_entered find_answer(const enter_request& wanted);
  void keep(const keep_answer& answer);
  /// What waits for the disk, and what lookups found there; none when there is nothing.
  [[nodiscard]] std::optional<batch> take_batch();
  /// The sentences for the log.
  [[nodiscard]] std::vector<std::string> take(committed done);
  [[nodiscard]] const cache_report& report();

  // The back

  [[nodiscard]] committed commit(batch&& writes);

private:
  struct found {
    bytes_pointer bytes;
    std::optional<storage::lookup_answer> on_disk; ///< what the store said, if it was asked
  };

  [[nodiscard]] std::optional<found> look_up(content_kind kind, const storage::content_owner& owner,
                                             const digest& key);
  [[nodiscard]] bool holds(const storage::content_owner& owner, const digest& key) const;
  [[nodiscard]] bool find_window(const find_units& wanted, std::uint32_t window,
                                 units_found& found);
  void put(write entry);
  void note(storage::lookup_answer answer);
  /// What was read cannot be what it was kept as.
  void distrust(const digest& place, const found& what);
  [[nodiscard]] std::optional<answer_record> answer_at(const storage::content_owner& owner,
                                                       const digest& key, bool& from_disk);

  storage::memory_tier memory_;
  std::map<digest, bytes_pointer> unwritten_; ///< in the queue or in a batch under way
  std::deque<write> queue_;
  std::size_t queue_bytes_{0};
  std::vector<storage::lookup_answer> notes_;
  std::set<digest> doubted_; ///< damaged on the disk, until the store has dropped them
  std::set<digest> dropped_; ///< of these, the batch under way drops them
  std::optional<storage::store_reader> reader_;
  cache_report report_;
  // The back's
  std::unique_ptr<storage::content_store> store_;
  storage::env& env_;
};

} // namespace ovir::actors
