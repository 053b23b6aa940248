#include "tests/support/ledger/ledger_model.hpp"

#include <algorithm>

// Audits, as docs/LEDGER.md says it: their epochs and fees, and what convictions move.
namespace ovir::test {

namespace {

constexpr std::uint64_t behind_most = 64;
constexpr ledger_model::credits one_whole = 1'000'000;

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

/// Takes back windows from `first` on, for the payer. What is still missing to a full refund; who
/// was honest is owed what it had pending.
ledger_model::credits ledger_model::take_back(request& q, std::size_t first,
                                              const std::string& guilty,
                                              std::map<std::string, credits>& owed) {
  const std::string payer = "free/" + q.payer;
  credits missing = 0;
  for (std::size_t i = first; i < q.windows.size(); ++i) {
    window& w = windows_[q.windows[i]];
    if (w.phase == 2) {
      continue;
    }
    credits refund = w.gross - w.refund;
    for (const part& p : w.parts) {
      if (w.phase == 0 && !ejected_.contains(p.node)) {
        go("pending/" + p.node, payer, p.amount);
        refund -= p.amount;
        if (p.node != guilty) {
          owed[p.node] += p.amount;
        }
      }
    }
    w.phase = 2;
    missing += refund - up_to("assurance", payer, std::min(refund, w.fee + w.withheld));
  }
  return missing;
}

bool ledger_model::run(const ledger::convict& x) {
  const std::string id = to_hex(x.request);
  const std::string guilty = to_hex(x.guilty);
  if (x.kind == ledger::evidence_kind::double_charge) {
    return !gone(id) && convict_scheduler(id, x);
  }
  if (gone(id) || x.window >= requests_.at(id).windows.size() ||
      ejected_.contains(to_hex(x.finder)) ||
      !std::all_of(x.verdicts.begin(), x.verdicts.end(),
                   [&](const ledger::verdict& v) { return may_audit(to_hex(v.verifier)); })) {
    return false;
  }
  request& q = requests_.at(id);
  const std::vector<part>& parts = windows_[q.windows[x.window]].parts;
  if (std::none_of(parts.begin(), parts.end(), [&](const part& p) { return p.node == guilty; })) {
    return false;
  }
  const std::string payer = "free/" + q.payer;
  std::map<std::string, credits> owed;
  const bool whole = rules_.rules.refund == ledger::refund_rule::request;
  credits missing = take_back(q, whole ? 0 : x.window, guilty, owed);
  for (const std::string& source :
       {"pending/" + guilty, "stake/" + guilty, std::string{"assurance"}}) {
    missing -= up_to(source, payer, missing);
  }
  std::map<std::string, credits> given;
  for (const std::string& source :
       {"pending/" + guilty, "stake/" + guilty, std::string{"assurance"}}) {
    credits all = 0;
    std::vector<part> weights;
    for (const auto& [node, amount] : owed) {
      if (amount > 0) {
        weights.push_back({node, amount});
        all += amount;
      }
    }
    const credits budget = std::min(all, of(source));
    if (budget == 0) {
      continue;
    }
    const std::vector<credits> shares = share_out(budget, weights);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      go(source, "pending/" + weights[i].node, shares[i]);
      owed[weights[i].node] -= shares[i];
      given[weights[i].node] += shares[i];
    }
  }
  window extra{id, now_, 0, 0, 0, 0, true, 0, {}};
  for (const auto& [node, amount] : given) {
    if (amount > 0) {
      extra.parts.push_back({node, amount});
    }
  }
  if (!extra.parts.empty()) {
    q.compensations.push_back(windows_.size());
    windows_.push_back(std::move(extra));
    units_.emplace_back();
  }
  slash(guilty, to_hex(x.finder));
  return true;
}

void ledger_model::slash(const std::string& guilty, const std::string& finder) {
  go("stake/" + guilty, "free/" + finder,
     of("stake/" + guilty) * rules_.rules.finder_ppm / one_whole);
  go("stake/" + guilty, "burn", of("stake/" + guilty));
  go("pending/" + guilty, "burn", of("pending/" + guilty));
  called_back_.erase(guilty);
  ejected_.insert(guilty);
}

bool ledger_model::convict_scheduler(const std::string& id, const ledger::convict& x) {
  const request& q = requests_.at(id);
  const std::string guilty = to_hex(x.guilty);
  if ((q.scheduler.empty() ? q.payer : q.scheduler) != guilty ||
      ejected_.contains(to_hex(x.finder))) {
    return false;
  }
  slash(guilty, to_hex(x.finder));
  close(id);
  return true;
}

} // namespace ovir::test
