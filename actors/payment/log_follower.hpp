#pragma once

#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/message.hpp"
#include "messages/durable_file.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace ovir::actors {

/// A copy of a ledger's log on this node's disk, each entry checked as the keepers should have, and
/// what it takes to convict keepers that sign two logs or break a promise. One thread at a time.
class log_follower {
public:
  /// `file` is empty or holds a copy; it outlives the follower. `genesis` is the keeper's first
  /// entry. `watch` is called with every entry of the copy. `digest_mismatch` where the copy is of
  /// another ledger.
  [[nodiscard]] static result<log_follower> open(durable_file& file,
                                                 std::span<const std::byte> genesis,
                                                 std::uint64_t seed,
                                                 ledger::entry_watch watch = {});

  /// The index of the entry it needs next.
  [[nodiscard]] std::uint64_t wants() const noexcept { return book_.log().size() + run_.size(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return book_.log().size(); }
  [[nodiscard]] const digest& ledger() const noexcept { return book_.id(); }

  /// Takes entries from `wants()` on; others are passed over. They are kept when they lead to a
  /// head. `digest_mismatch`, or what rule they break: the keepers are to blame, as most of them
  /// signed the head; nothing is kept. `over_limit` beyond `limits::credit_catch_up_bytes_max`.
  /// Precondition, as of all heads here: most of this ledger's keepers signed the run's.
  [[nodiscard]] result<void> take(const ledger::entry_run& run);
  /// Whether a head is one of this log, as far as the copy reaches.
  [[nodiscard]] result<void> check(const ledger::signed_head& head) const;
  /// What convicts keepers, where they promised this entry an index that now has another.
  [[nodiscard]] result<std::optional<ledger::fork_evidence>>
  broken(const ledger::acknowledgement& promised) const;

private:
  explicit log_follower(ledger::ledger book) : book_(std::move(book)) {}

  ledger::ledger book_;
  std::optional<ledger::signed_head> head_; ///< that the copy led to
  std::vector<std::vector<std::byte>> run_; ///< behind the copy, until they lead to a head
  std::size_t run_bytes_{0};
};

} // namespace ovir::actors
