#pragma once

#include "ledger/keeper/message.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

/// What a keeper that is behind gets from another one (docs/formats/keepers.md).
namespace ovir::ledger {

/// Entries, and the proof that the log which they end is the beginning of the head's.
struct log_part {
  std::vector<digest> path; ///< empty where they lead to the head itself
  entry_run run;
  friend bool operator==(const log_part&, const log_part&) = default;
};

[[nodiscard]] std::vector<std::byte> to_bytes(const log_part& p);
/// One encoding each: `malformed`, `unsupported` or `over_limit`.
[[nodiscard]] result<log_part> log_part_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
