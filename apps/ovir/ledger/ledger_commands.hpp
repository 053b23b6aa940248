#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

// The parts of `ovir ledger`, one file each.

/// `create`, `mint`, `transfer`, `stake`, `unstake`, `balance`.
void add_ledger_accounts(CLI::App& ledger, chosen_command& chosen);
/// `log`, `verify`, `head`, `prove`.
void add_ledger_log(CLI::App& ledger, chosen_command& chosen);
/// `statement`.
void add_ledger_statement(CLI::App& ledger, chosen_command& chosen);
/// `policy`.
void add_ledger_policy(CLI::App& ledger, chosen_command& chosen);

/// `clock`.
void add_ledger_clock(CLI::App& ledger, chosen_command& chosen);

} // namespace ovir::apps
