#pragma once

#include "apps/ovir/command.hpp"

namespace ovir::apps {

/// `ovir ledger policy`; the parts of `ovir ledger` are one file each.
void add_ledger_policy(CLI::App& ledger, chosen_command& chosen);

} // namespace ovir::apps
