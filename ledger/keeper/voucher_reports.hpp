#pragma once

#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/rules/state.hpp"

#include <cstdint>

/// What a keeper says of vouchers: what is left of one, and what its requests cost.
namespace ovir::ledger {

/// For `asker`. `now`: the ledger's time, in seconds since 1970.
[[nodiscard]] budget_report report_on_voucher(const state& s, const ask_voucher& asked,
                                              const node_id& asker, std::uint64_t now);

/// From the account's statement, and from the log for requests that are over. `not_found` where the
/// voucher is, `busy` while the ledger's index is made anew.
[[nodiscard]] result<budget_statement> statement_of_voucher(ledger& book,
                                                            const ask_voucher_statement& asked);

} // namespace ovir::ledger
