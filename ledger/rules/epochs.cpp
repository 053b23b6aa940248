#include "ledger/rules/epochs.hpp"

#include "ledger/rules/standing.hpp"
#include "messages/limits/audit.hpp"

#include <algorithm>
#include <utility>

namespace ovir::ledger {

bool is_due(const epoch_state& e, const policy& rules, std::uint64_t time) {
  if (e.entries >= rules.epoch_entries || e.units >= limits::epoch_units_max / 2) {
    return true;
  }
  if (e.accruals > 0 && time >= e.first_accrual + rules.epoch_s) {
    return true;
  }
  const bool lacks = std::any_of(e.closed.begin(), e.closed.end(),
                                 [](const epoch_verifier& v) { return v.link == digest{}; });
  return e.worked && lacks && time >= e.closed_at + rules.epoch_s;
}

const audit_chain* chain_for(const account& a, std::uint64_t epoch) {
  const auto begun = std::find_if(a.chains.rbegin(), a.chains.rend(),
                                  [&](const audit_chain& c) { return c.first <= epoch; });
  return begun == a.chains.rend() || epoch - begun->first >= begun->links ? nullptr : &*begun;
}

std::uint64_t audit_weight(const account& a, std::uint64_t now, const policy& rules) {
  return 1 + std::min(influence(a, now, rules) / credit, limits::epoch_weight_max - 1);
}

const epoch_verifier* find_verifier(const std::vector<epoch_verifier>& all, const node_id& node) {
  const auto at = std::lower_bound(
      all.begin(), all.end(), node,
      [](const epoch_verifier& v, const node_id& wanted) { return v.node < wanted; });
  return at == all.end() || at->node != node ? nullptr : &*at;
}

epoch_verifier* find_verifier(std::vector<epoch_verifier>& all, const node_id& node) {
  return const_cast<epoch_verifier*>(find_verifier(std::as_const(all), node));
}

} // namespace ovir::ledger
