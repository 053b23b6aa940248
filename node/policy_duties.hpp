#pragma once

#include "ledger/rules/policy.hpp"
#include "messages/result.hpp"
#include "node/node_options.hpp"

namespace ovir::supervision {

/// Whether a node's configuration does what the rules of its ledger ask of it. `invalid_argument`
/// names the key that asks for less, and says what to change.
[[nodiscard]] result<void> check_duties(const node_options& options, const ledger::policy& rules);

/// What a node of these roles has to have at stake to be given paid work and audits; 0 where stake
/// is not what deters.
[[nodiscard]] ledger::micro_credits stake_wanted(const role_set& roles,
                                                 const ledger::policy& rules);

} // namespace ovir::supervision
