#pragma once

#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/rules/state.hpp"

#include <cstdint>

/// What a keeper says of accounts, requests and vouchers, as far as it follows from the state and
/// the log.
namespace ovir::ledger {

/// But for the first entry, the head, the time and who was convicted, which the keeper adds.
[[nodiscard]] account_report report_on_account(const state& s, const node_id& who);

[[nodiscard]] request_report report_on_request(const state& s, const escrow_id& request);

/// For `asker`. `now`: the ledger's time, in seconds since 1970.
[[nodiscard]] budget_report report_on_voucher(const state& s, const ask_voucher& asked,
                                              const node_id& asker, std::uint64_t now);

/// From the account's statement, and from the log for requests that are over. `not_found` where the
/// voucher is, `busy` while the ledger's index is made anew.
[[nodiscard]] result<budget_statement> statement_of_voucher(ledger& book,
                                                            const ask_voucher_statement& asked);

} // namespace ovir::ledger
