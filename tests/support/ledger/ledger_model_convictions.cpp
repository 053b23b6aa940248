#include "tests/support/ledger/ledger_model.hpp"

#include <algorithm>

// Convictions, as docs/LEDGER.md says it.
namespace ovir::test {

namespace {

constexpr ledger_model::credits parts_per_one = 1'000'000;

} // namespace

using credits = ledger_model::credits;

/// Takes back windows from `first` on, for the payer. What is still missing to a full refund; who
/// was honest is owed what it had pending.
credits ledger_model::take_back(request& q, std::size_t first, const std::string& guilty,
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
        q.cost -= p.amount;
        refund -= p.amount;
        if (p.node != guilty) {
          owed[p.node] += p.amount;
        }
      }
    }
    w.phase = 2;
    const credits back = up_to("assurance", payer, std::min(refund, w.fee + w.withheld));
    q.cost -= back;
    missing += refund - back;
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
    const credits back = up_to(source, payer, missing);
    q.cost -= back;
    missing -= back;
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
     of("stake/" + guilty) * rules_.rules.finder_ppm / parts_per_one);
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
