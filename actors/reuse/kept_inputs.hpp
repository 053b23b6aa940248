#pragma once

#include "actors/reuse/cache_back.hpp"
#include "actors/reuse/cache_protocol.hpp"
#include "messages/digest.hpp"
#include "messages/limits/audit_inputs.hpp"
#include "storage/store/memory_tier.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

namespace ovir::actors {

/// Inputs of windows on their way to the disk, and in memory where there is none for them: raw
/// bytes by the digest that a statement names, which is the asker's to check. They have room of
/// their own, so that they push out no blocks. They are evidence and depend on no belief: a
/// conviction takes none of them. A value, for one thread at a time.
class kept_inputs {
public:
  using bytes_pointer = storage::memory_tier::bytes_pointer;
  using on_disk = std::function<bool(const digest& name)>;

  /// Null where it is neither in memory nor on its way to the disk.
  [[nodiscard]] bytes_pointer find(const digest& name);
  /// What `here` does not tell of as held. `disk`: there is a store to write it to.
  void keep(const keep_inputs& what, bool disk, const on_disk& here);
  /// In memory alone.
  void hold(const hold_inputs& what);
  /// The first of what waits for the disk.
  void take_batch(std::vector<cache_write>& writes);
  /// A batch that had these is on the disk, or refused.
  void take(const cache_committed& done);
  /// There is no store any more.
  void lose_disk();

  [[nodiscard]] bool waiting() const noexcept { return !queue_.empty(); }
  [[nodiscard]] std::size_t unwritten() const noexcept { return unwritten_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return memory_.bytes(); }
  [[nodiscard]] std::uint64_t kept() const noexcept { return kept_; }
  [[nodiscard]] std::uint64_t not_kept() const noexcept { return not_kept_; }

private:
  [[nodiscard]] bool holds(const digest& name) const;
  void put(storage::content_kind kind, const digest& name, std::vector<std::byte> bytes, bool disk);

  storage::memory_tier memory_{limits::audit_inputs_memory_bytes};
  std::map<digest, bytes_pointer> unwritten_; ///< in the queue or in a batch under way
  std::deque<cache_write> queue_;
  std::size_t queue_bytes_{0};
  std::uint64_t kept_{0};
  std::uint64_t not_kept_{0};
};

} // namespace ovir::actors
