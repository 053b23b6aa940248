#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What keepers agree on (docs/formats/keepers.md).
namespace ovir::ledger {

/// Entries to be, in an order, and the time that they get. Every keeper applies it for itself; what
/// the rules refuse they all refuse alike.
struct batch_order {
  digest ledger;
  std::uint64_t behind{0}; ///< entries of the log that it is for: void behind any other number
  std::uint64_t time{0};   ///< in seconds since 1970
  /// Encoded, with time 0; 1 to limits::ledger_batch_entries_max.
  std::vector<std::vector<std::byte>> entries;
  /// Of each conviction by a double charge among them, in their order.
  std::vector<std::vector<std::byte>> evidence{};
  friend bool operator==(const batch_order&, const batch_order&) = default;
};

/// Precondition: within limits::raft_entry_bytes_max.
[[nodiscard]] std::vector<std::byte> to_bytes(const batch_order& o);
/// One encoding each: `malformed`, `unsupported` or `over_limit`.
[[nodiscard]] result<batch_order> batch_order_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
