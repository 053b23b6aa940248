#include "node/policy_duties.hpp"

#include <algorithm>

namespace ovir::supervision {

result<void> check_duties(const node_options& options, const ledger::policy& rules) {
  const std::uint64_t wanted = rules.deterrence.audit_rate_ppm;
  const bool audits = options.roles.has(role::verifier);
  if (audits && options.audit_least_rate_ppm.value_or(wanted) < wanted) {
    return fail(errc::invalid_argument,
                "audit.least_rate_ppm is {}, and the rules of the ledger want {} at least: raise "
                "it, or leave it out",
                *options.audit_least_rate_ppm, wanted);
  }
  const ledger::micro_credits stake = stake_wanted(options.roles, rules);
  if (options.ledger.stake && *options.ledger.stake < stake) {
    return fail(errc::invalid_argument,
                "ledger.stake is {}, and the rules of the ledger want {} of who serves or audits: "
                "raise it, or leave it out and get no paid work",
                *options.ledger.stake, stake);
  }
  return {};
}

ledger::micro_credits stake_wanted(const role_set& roles, const ledger::policy& rules) {
  const ledger::deterrence_terms& t = rules.deterrence;
  return t.mode != ledger::trust_mode::bonded
             ? 0
             : std::max(roles.has(role::worker) ? t.stake : 0,
                        roles.has(role::verifier) ? t.auditor_stake : 0);
}

} // namespace ovir::supervision
