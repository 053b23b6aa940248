#pragma once

#include "ledger/log/merkle.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// What a log's keeper signs, and what convicts it (docs/formats/ledger-log.md).
namespace ovir::ledger {

/// All of a log up to a size, in a few bytes.
struct log_head {
  digest ledger;         ///< the leaf of its genesis entry: the ledger's name
  std::uint64_t size{0}; ///< entries
  digest root;           ///< of the Merkle tree over them
  digest chain;          ///< the hash chain behind them
  std::uint64_t time{0}; ///< of the last entry
  friend bool operator==(const log_head&, const log_head&) = default;
};
struct signed_head {
  log_head head;
  node_id keeper;
  signature proof;
  friend bool operator==(const signed_head&, const signed_head&) = default;
};

[[nodiscard]] signed_head sign(const secret_key& keeper, const log_head& head);
/// Whether the keeper it names signed it; who that should be, the caller knows.
[[nodiscard]] bool signed_by_its_keeper(const signed_head& h);

/// An entry and its way to a head's root.
struct inclusion {
  std::uint64_t index{0};
  digest leaf;
  std::vector<digest> path;
};
[[nodiscard]] bool proves(const inclusion& in, const log_head& head);

/// What a client is answered once its command lasts: the keeper's signed promise that the entry has
/// this index. Clients keep it.
struct acknowledgement {
  inclusion entry;
  signed_head head;
};

/// What convicts a keeper: two things it signed that no one log can both be.
struct fork_evidence {
  signed_head first;
  signed_head second;
  // Two heads of one size with different roots need nothing more. Otherwise: one index, a different
  // leaf in each.
  inclusion in_first;
  inclusion in_second;
};

/// Nothing when the evidence convicts the keeper of `ledger`. Else `invalid_argument` with what is
/// missing: both heads must be its, of this ledger, and contradict each other.
[[nodiscard]] result<void> check_fork(const fork_evidence& e, const digest& ledger,
                                      const node_id& keeper);

// Canonical bytes; decoding bounds every list before it reserves.
[[nodiscard]] std::vector<std::byte> to_bytes(const signed_head& h);
[[nodiscard]] result<signed_head> signed_head_from(std::span<const std::byte> bytes);
[[nodiscard]] std::vector<std::byte> to_bytes(const acknowledgement& a);
[[nodiscard]] result<acknowledgement> acknowledgement_from(std::span<const std::byte> bytes);
[[nodiscard]] std::vector<std::byte> to_bytes(const fork_evidence& e);
[[nodiscard]] result<fork_evidence> fork_evidence_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
