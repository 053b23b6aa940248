#pragma once

#include "ledger/rules/books.hpp"

/// What each command does: it is executed whole, or refused and changes nothing.
namespace ovir::ledger {

// rules_accounts.cpp
[[nodiscard]] result<void> run(books& b, const genesis& x);
[[nodiscard]] result<void> run(books& b, const mint& x);
[[nodiscard]] result<void> run(books& b, const transfer& x);
[[nodiscard]] result<void> run(books& b, const carriage& x);
[[nodiscard]] result<void> run(books& b, const lock& x);
[[nodiscard]] result<void> run(books& b, const unlock& x);
[[nodiscard]] result<void> run(books& b, const unlocked& x);
// rules_requests.cpp
[[nodiscard]] result<void> run(books& b, const reserve& x);
[[nodiscard]] result<void> run(books& b, const settle& x);
[[nodiscard]] result<void> run(books& b, const cancel& x);
[[nodiscard]] result<void> run(books& b, const expire& x);
[[nodiscard]] result<void> run(books& b, const reroute& x);
// rules_windows.cpp
[[nodiscard]] result<void> run(books& b, const accrue& x);
[[nodiscard]] result<void> run(books& b, const release& x);
[[nodiscard]] result<void> run(books& b, const compensate& x);
// rules_epochs.cpp
[[nodiscard]] result<void> run(books& b, const chain_commit& x);
[[nodiscard]] result<void> run(books& b, const chain_link& x);
[[nodiscard]] result<void> run(books& b, const epoch_end& x);
// rules_vouchers.cpp
[[nodiscard]] result<void> run(books& b, const voucher& x);
[[nodiscard]] result<void> run(books& b, const revoke& x);
/// Whether the voucher that a reservation names pays this quote. `over_limit`: it has too little
/// left, was revoked, is over, or was never there.
[[nodiscard]] result<void> check_budget(const books& b, const reserve& x, micro_credits quote);
// conviction.cpp
[[nodiscard]] result<void> run(books& b, const convict& x);

} // namespace ovir::ledger
