#pragma once

#include "storage/store/content_store.hpp"

#include <map>
#include <memory>
#include <set>

namespace ovir::storage {

/// What a batch is planned over. All of it outlives the batch.
struct batch_ground {
  store_index& index;
  extent_map& extents;
  const store_limits& limits;
  const std::map<entry_place, noted_use>& notes;
  const std::map<entry_place, std::weak_ptr<const int>>& leases;
  std::uint64_t& draws; ///< state of the chance in which entries are compared
};

/// A batch of the store while it is planned: what each change means, who must go for it, what it
/// will write, and what the store will be once it is written. Nothing here writes: dropped, nothing
/// has happened but that `taken` is to be given back.
class store_batch {
public:
  struct block_write {
    std::uint64_t offset;
    std::span<const std::byte> bytes;
  };

  store_batch(const batch_ground& ground, std::uint64_t now_in_seconds);

  /// What lookups noted; what they found damaged is dropped.
  [[nodiscard]] result<void> apply_notes();
  [[nodiscard]] result<change_outcome> apply(const put_content& put);
  [[nodiscard]] result<change_outcome> apply(const remove_content& remove);
  [[nodiscard]] result<change_outcome> apply(const pin_content& pin);
  [[nodiscard]] result<change_outcome> apply(const mark_verified& mark);
  /// Evicts until `bytes` more of a kind are within its limit; false: nothing more may go.
  [[nodiscard]] result<bool> make_room(content_kind kind, std::uint64_t bytes);

  std::uint64_t now{0};
  index_changes changes;
  std::vector<block_write> writes;
  std::vector<extent> taken; ///< by this batch, from the store's map
  std::vector<extent> freed; ///< once it is committed
  std::array<kind_usage, content_kinds.size()> usage{};
  std::array<kind_counters, content_kinds.size()> counters{};
  bool twice{false}; ///< what went must not come back, even from the state before

private:
  [[nodiscard]] result<change_outcome> add_key(entry& e, const digest& key);
  [[nodiscard]] result<std::optional<std::string>> record_at(const std::string& key);
  [[nodiscard]] result<std::optional<entry>> entry_at(const key_target& target);
  [[nodiscard]] result<void> drop(const entry& e);
  void set(const entry& e, const entry* before);
  [[nodiscard]] result<std::optional<entry>> choose_victim(content_kind kind);
  [[nodiscard]] result<std::optional<entry>> sampled_victim(content_kind kind);
  [[nodiscard]] bool may_go(const entry& e) const;
  [[nodiscard]] std::uint64_t draw() noexcept;

  batch_ground ground_;
  std::set<entry_place> kept_; ///< put by this batch: not evicted by it
  std::array<std::vector<entry>, content_kinds.size()> victims_; ///< of the last pass, best last
  std::array<bool, content_kinds.size()> exhausted_{};           ///< nothing more may go
};

} // namespace ovir::storage
