#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <vector>

/// Epochs: runs of entries whose units are drawn together (ledger/audit/epoch_draw.hpp). The keeper
/// closes one when it is due; it is final when the next one is closed.
namespace ovir::ledger {

struct epoch_verifier {
  node_id node;
  std::uint64_t weight{0}; ///< at least 1
  digest link;             ///< all zero while it is not in the log
  friend bool operator==(const epoch_verifier&, const epoch_verifier&) = default;
};

struct epoch_state {
  std::uint64_t number{0};  ///< of the current one; the first begins with the log
  std::uint64_t entries{0}; ///< of it so far, links aside
  std::uint64_t accruals{0};
  std::uint64_t units{0}; ///< windows of positions, of each who computed them
  std::uint64_t first_accrual{0};
  std::vector<epoch_verifier> verifiers; ///< of it, ascending; fixed before it began
  // Of the one before: closed, not final.
  std::uint64_t closed_at{0};
  bool worked{false}; ///< it has accruals
  std::vector<epoch_verifier> closed;
  friend bool operator==(const epoch_state&, const epoch_state&) = default;
};

/// Whether the current epoch may be closed, and has to be: it has `epoch_entries`, or `epoch_s`
/// passed since its first accrual, or since the one before was closed whose work waits for a link.
[[nodiscard]] bool is_due(const epoch_state& e, const policy& rules, std::uint64_t time);

/// The chain whose link its owner owes for `epoch`; null: none.
[[nodiscard]] const audit_chain* chain_for(const account& a, std::uint64_t epoch);

/// 1 + influence in whole credits, at most `limits::epoch_weight_max`.
[[nodiscard]] std::uint64_t audit_weight(const account& a, std::uint64_t now, const policy& rules);

/// Null where `node` is none of them. `all` ascends.
[[nodiscard]] epoch_verifier* find_verifier(std::vector<epoch_verifier>& all, const node_id& node);
[[nodiscard]] const epoch_verifier* find_verifier(const std::vector<epoch_verifier>& all,
                                                  const node_id& node);

} // namespace ovir::ledger
