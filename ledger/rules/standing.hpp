#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/result.hpp"

#include <cstdint>

/// What a participant's past is worth. All of it follows from the log, so anybody can recompute it.
namespace ovir::ledger {

/// 10^6 * valid on-time units / (assigned units + 100), halved for every half-life of silence; 0 on
/// conviction. Wrong, late and missing units all count, because they were assigned; a link of a
/// hash chain that was overdue counts as 32 of them, and consecutive units are counted from 0
/// again.
[[nodiscard]] std::uint64_t reputation_ppm(const account& a, std::uint64_t now,
                                           const policy& rules);

/// max(a_min, 1 / consecutive valid units) in ppm, rounded up; everything is audited at first.
/// `least_ppm` is a_min, the policy's audit rate.
[[nodiscard]] std::uint64_t audit_rate_ppm(const account& a, std::uint64_t least_ppm);

/// Stake that is not being called back, and what was earned, weighed by reputation: nothing for a
/// new identity, and no more for many identities than for one that has as much as all of them.
[[nodiscard]] micro_credits influence(const account& a, std::uint64_t now, const policy& rules);

/// Whether nothing is known of it: neither a unit that stood nor `admission_stake`.
[[nodiscard]] bool is_newcomer(const account& a, const policy& rules);

/// Whether a node may be planned into a path; `a` is null for one that was never heard of. Where
/// stake is what deters, it takes that stake. Without bonds a newcomer may earn, in at most
/// `newcomer_units` pending windows at a time; where nothing is paid, nothing bounds it.
/// `invalid_argument` when it was convicted, `busy` when it lacks stake or has to wait for its
/// first audits. What newcomers may have together is `books::check_pool`.
[[nodiscard]] result<void> check_server(const node_id& node, const account* a, const policy& rules);

/// Whether a node is drawn to audit and paid for it, and its verdicts count: it takes the stake of
/// auditors, or, without bonds, history or `admission_stake`. Errors as `check_server`.
[[nodiscard]] result<void> check_verifier(const node_id& node, const account* a,
                                          const policy& rules);

} // namespace ovir::ledger
