#pragma once

#include "ledger/log/head.hpp"
#include "messages/durable_file.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <set>

/// Whose signature counts, as a ledger knows it: for who has its head and a copy of its log, and
/// trusts neither whoever gave it the copy nor anybody in it.
namespace ovir::ledger {

/// Of the log up to the head and of nothing behind it, without those who were convicted:
/// - who has stake (bonded), or was credited with computing a window (zero-bond);
/// - who drove a request of which a window was accrued: its payer, or the scheduler it named.
/// Every entry up to the end is checked as `verify_log` does. `digest_mismatch`: the log breaks the
/// rules, or is not the one that the head was signed for; the sentence names the entry.
/// `invalid_argument`: most of the log's keepers did not sign the head. `over_limit`: more than
/// limits::signers_max keys.
[[nodiscard]] result<std::set<node_id>> participants_at(const signed_head& head, durable_file& log);

} // namespace ovir::ledger
