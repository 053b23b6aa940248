#include "tests/support/ledger/ledger_model.hpp"

#include <algorithm>

// Budgets of API keys, as docs/LEDGER.md says it.
namespace ovir::test {

/// What a voucher has used is what its requests cost its payer, found by looking at all of them.
bool ledger_model::may_spend(const ledger::reserve& x, credits quote) const {
  const auto found = budgets_.find(to_hex(x.voucher));
  if (found == budgets_.end()) {
    return false;
  }
  const budget& b = found->second;
  credits used = 0;
  for (const auto& [id, q] : requests_) {
    used += q.voucher == found->first ? q.cost : 0;
  }
  return b.account == to_hex(x.payer) && b.schedulers.contains(to_hex(x.scheduler)) && !b.revoked &&
         now_ < b.expires && used + quote <= b.limit;
}

bool ledger_model::run(const ledger::voucher& x) {
  const std::string account = to_hex(x.account);
  if (of("free/" + account) + of("pending/" + account) + of("stake/" + account) == 0 ||
      x.expires <= now_) {
    return false;
  }
  std::erase_if(budgets_, [&](const auto& one) {
    const auto is_used = [&](const auto& r) {
      return r.second.open && r.second.voucher == one.first;
    };
    return one.second.account == account && (one.second.revoked || one.second.expires <= now_) &&
           std::none_of(requests_.begin(), requests_.end(), is_used);
  });
  budget made{account, credits{x.limit}, x.expires, {}, false};
  for (const node_id& s : x.schedulers) {
    made.schedulers.insert(to_hex(s));
  }
  budgets_[to_hex(ledger::voucher_id(x))] = std::move(made);
  return true;
}

bool ledger_model::run(const ledger::revoke& x) {
  const auto found = budgets_.find(to_hex(x.voucher));
  if (found == budgets_.end() || found->second.account != to_hex(x.account) ||
      found->second.revoked) {
    return false;
  }
  found->second.revoked = true;
  return true;
}

} // namespace ovir::test
