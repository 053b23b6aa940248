#include "actors/payment/payee_standings.hpp"

namespace ovir::actors {

address_prefix payee_standings::site(const node_id& node) const {
  const auto found = sites.find(node);
  return found == sites.end() ? address_prefix{} : found->second;
}

void payee_standings::note(const ledger::account_report& report, bool stranger) {
  const auto known = of.find(report.who);
  if (known == of.end()) {
    return;
  }
  payee_standing& standing = known->second;
  const bool unproven = report.reputation_ppm == 0 && report.stake == report.leaving;
  standing.reputation_ppm = report.reputation_ppm;
  standing.told = true;
  standing.admitted = report.admitted;
  standing.newcomer = report.newcomer || (stranger && unproven);
  standing.pending_windows = report.pending_windows;
}

std::set<node_id> payee_standings::lacking(std::uint64_t newcomer_units) const {
  std::set<node_id> all;
  std::map<address_prefix, std::uint64_t> parts;
  for (const auto& [node, known] : of) {
    if (!known.admitted) {
      all.insert(node);
    }
    if (known.newcomer) {
      parts[site(node)] += known.pending_windows;
    }
  }
  for (const auto& [node, known] : of) {
    if (known.newcomer && parts[site(node)] >= newcomer_units) {
      all.insert(node);
    }
  }
  return all;
}

} // namespace ovir::actors
