#include "node/policy_duties.hpp"

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
  return {};
}

} // namespace ovir::supervision
