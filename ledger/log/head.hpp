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

/// What a log's keepers sign, and what convicts them (docs/formats/ledger-log.md).
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
struct head_signature {
  node_id keeper;
  signature proof;
  friend bool operator==(const head_signature&, const head_signature&) = default;
};
/// Of equal heads the signatures may differ: each keeper signs for itself.
struct signed_head {
  log_head head;
  /// 1 to limits::ledger_keepers_max, ascending by keeper, all different.
  std::vector<head_signature> signatures;
  friend bool operator==(const signed_head&, const signed_head&) = default;
};

/// With one signature.
[[nodiscard]] signed_head sign(const secret_key& keeper, const log_head& head);
/// Whether the keeper that the signature names made it for this head.
[[nodiscard]] bool holds(const head_signature& s, const log_head& head);
/// Puts another keeper's signature in its place; one that is there already changes nothing.
/// `invalid_argument`: it is not its keeper's for this head. `over_limit`: there are
/// limits::ledger_keepers_max.
[[nodiscard]] result<void> join(signed_head& to, const head_signature& one);
/// Whether every signature holds and they are in order. Who the keepers are, the caller knows.
[[nodiscard]] bool signatures_hold(const signed_head& h);
/// As `signatures_hold`, and each signer is one of `keepers` (ascending, all different), and more
/// than half of these signed: only then is a head of their ledger believed.
[[nodiscard]] bool signed_by_majority(const signed_head& h, std::span<const node_id> keepers);
/// Who signed, as it says: ascending.
[[nodiscard]] std::vector<node_id> signers_of(const signed_head& h);
/// Short names behind each other, for people: "1a2b3c4d and 5e6f7a8b".
[[nodiscard]] std::string names_of(std::span<const node_id> keepers);

/// An entry and its way to a head's root.
struct inclusion {
  std::uint64_t index{0};
  digest leaf;
  std::vector<digest> path;
};
[[nodiscard]] bool proves(const inclusion& in, const log_head& head);

/// What a client is answered once its command lasts: the keepers' signed promise that the entry has
/// this index. Clients keep it.
struct acknowledgement {
  inclusion entry;
  signed_head head;
};

/// What convicts keepers: two things that they signed and that no one log can both be.
struct fork_evidence {
  signed_head first;
  signed_head second;
  // Two heads of one size with different roots need nothing more. Otherwise: one index, a different
  // leaf in each.
  inclusion in_first;
  inclusion in_second;
};

/// Whom of `keepers` (ascending) the evidence convicts: each that signed both heads; one at least,
/// ascending. It need not be signed by most of them. `invalid_argument` with what is missing: both
/// heads must be of `ledger` with signatures that hold, contradict each other, and have a keeper in
/// common. Two majorities have one.
[[nodiscard]] result<std::vector<node_id>> check_fork(const fork_evidence& e, const digest& ledger,
                                                      std::span<const node_id> keepers);

// Canonical bytes; decoding bounds every list before it reserves.
[[nodiscard]] std::vector<std::byte> to_bytes(const signed_head& h);
[[nodiscard]] result<signed_head> signed_head_from(std::span<const std::byte> bytes);
[[nodiscard]] std::vector<std::byte> to_bytes(const acknowledgement& a);
[[nodiscard]] result<acknowledgement> acknowledgement_from(std::span<const std::byte> bytes);
[[nodiscard]] std::vector<std::byte> to_bytes(const fork_evidence& e);
[[nodiscard]] result<fork_evidence> fork_evidence_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
