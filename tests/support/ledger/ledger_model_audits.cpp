#include "tests/support/ledger/ledger_model.hpp"

#include <algorithm>

// Audits, as docs/LEDGER.md says it: their epochs and fees.
namespace ovir::test {

namespace {

constexpr std::uint64_t behind_most = 64;

} // namespace

/// Of all that the verifier ever committed to, the last that has begun.
ledger_model::chain* ledger_model::chain_of(const std::string& node, std::uint64_t number) {
  chain* found = nullptr;
  for (chain& c : chains_[node]) {
    found = c.first <= number ? &c : found;
  }
  const bool counts = found != nullptr && number < found->first + found->links &&
                      number + 1 - found->first - found->known <= behind_most;
  return counts ? found : nullptr;
}

void ledger_model::count(const ledger::command& c) {
  if (std::holds_alternative<ledger::chain_link>(c) ||
      std::holds_alternative<ledger::epoch_end>(c)) {
    return;
  }
  ++epoch_.entries;
  if (std::holds_alternative<ledger::accrue>(c) && ++epoch_.accruals == 1) {
    epoch_.first_accrual = now_;
  }
}

bool ledger_model::may_audit(const std::string& node) const {
  const ledger::deterrence_terms& t = rules_.rules.deterrence;
  return !ejected_.contains(node) &&
         (t.mode == ledger::trust_mode::bonded ? firm_stake(node) >= t.auditor_stake
                                               : is_known(node));
}

bool ledger_model::run(const ledger::chain_commit& x) {
  const std::string node = to_hex(x.verifier);
  if (ejected_.contains(node)) {
    return false;
  }
  std::vector<chain>& its = chains_[node];
  if (!its.empty() && its.back().first > epoch_.number) {
    its.pop_back();
  }
  its.push_back({epoch_.number + 2, x.links, 0, x.anchor});
  return true;
}

bool ledger_model::run(const ledger::chain_link& x) {
  const std::string node = to_hex(x.verifier);
  if (x.epoch + 1 != epoch_.number || !epoch_.owe.contains(node)) {
    return false;
  }
  chain& c = *chain_of(node, x.epoch);
  digest back = x.link;
  for (std::uint64_t n = x.epoch + 1 - c.first; n > c.known; --n) {
    back = hash("ovir/audit/v1/chain", std::as_bytes(std::span{back.bytes}));
  }
  if (back != c.last) {
    return false;
  }
  c.known = x.epoch + 1 - c.first;
  c.last = x.link;
  epoch_.owe.erase(node);
  return true;
}

bool ledger_model::run(const ledger::epoch_end& x) {
  const ledger::policy& p = rules_.rules;
  const bool is_due =
      epoch_.entries >= p.epoch_entries ||
      (epoch_.accruals > 0 && now_ >= epoch_.first_accrual + p.epoch_s) ||
      (epoch_.worked && !epoch_.owe.empty() && now_ >= epoch_.closed_at + p.epoch_s);
  if (x.number != epoch_.number || !is_due) {
    return false;
  }
  epoch next;
  next.number = epoch_.number + 1;
  next.closed_at = now_;
  next.worked = epoch_.accruals > 0;
  next.owe = epoch_.verifiers;
  for (const auto& [node, all] : chains_) {
    if (may_audit(node) && chain_of(node, next.number) != nullptr) {
      next.verifiers.insert(node);
    }
  }
  epoch_ = next;
  return true;
}

bool ledger_model::run(const ledger::compensate& x) {
  const std::string id = to_hex(x.request);
  if (gone(id) || !may_audit(to_hex(x.to))) {
    return false;
  }
  request& q = requests_.at(id);
  // The accrual 0 is for all windows of positions that the prompt reaches into.
  const std::uint64_t prompt_end = q.prompt == 0 ? 0 : (q.prompt - 1) / 32;
  const std::uint64_t paid_by = x.window > prompt_end ? x.window - prompt_end : 0;
  if (paid_by >= q.windows.size() || windows_[q.windows[paid_by]].phase != 0 || x.amount == 0 ||
      x.layer >= q.layers || to_hex(x.to) == q.payer || to_hex(x.to) == q.scheduler ||
      x.amount > rules_.rules.deterrence.audit_fee) {
    return false;
  }
  bool audits_one_of_them = false;
  for (const part& p : windows_[q.windows[paid_by]].parts) {
    if (p.node == to_hex(x.to)) {
      return false;
    }
    audits_one_of_them = audits_one_of_them || p.node == to_hex(x.signer);
  }
  if (!audits_one_of_them) {
    return false;
  }
  credits paid_in = 0;
  for (const std::size_t at : q.windows) {
    paid_in += windows_[at].phase == 2 ? 0 : windows_[at].fee;
  }
  const credits left = std::max<credits>(0, paid_in - q.audit_fees);
  const credits amount = std::min(std::min<credits>(x.amount, left), of("assurance"));
  q.audit_fees += amount;
  go("assurance", "pending/" + to_hex(x.to), amount);
  q.compensations.push_back(windows_.size());
  windows_.push_back({id, now_, 0, 0, 0, 0, true, 0, {{to_hex(x.to), amount}}});
  units_.emplace_back();
  return true;
}

} // namespace ovir::test
