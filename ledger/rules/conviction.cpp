#include "ledger/rules/rules.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <map>

namespace ovir::ledger {

namespace {

/// One conviction, in the order of LEDGER.md: the consumer first, then honest stages, then the
/// finder; what is left is burnt. Every amount is bounded by what is there, so that nothing fails
/// half way.
class conviction {
public:
  conviction(books& ledger, const convict& x, request_record& q)
      : b_(ledger), x_(x), q_(q), payer_(purse_of(purse::free, q.payer)),
        guilty_pending_(purse_of(purse::pending, x.guilty)),
        guilty_stake_(purse_of(purse::stake, x.guilty)) {}

  void execute() {
    const auto first = b_.origin.rules.refund == refund_rule::request ? 0 : x_.window;
    for (std::uint32_t w = first; w < q_.windows.size(); ++w) {
      void_window(w);
    }
    b_.about_window = x_.window;
    // What the guilty one still has pending, here and in other requests, is lost as well.
    for (const account_ref& source :
         {guilty_pending_, guilty_stake_, account_ref{purse::assurance, {}}}) {
      owed_to_payer_ -= pay(source, payer_, owed_to_payer_, kind_from(source, false));
    }
    compensate_honest();
    reward_finder();
    eject();
  }

  /// Of who drives the request. No stage loses by it, and the client gets back what it holds.
  void execute_on_scheduler() {
    reward_finder();
    eject();
    if (q_.open) {
      b_.close(x_.request, q_, posting_kind::settle); // which may forget it
    }
  }

private:
  [[nodiscard]] static posting_kind kind_from(const account_ref& source, bool to_stage) {
    switch (source.kind) {
    case purse::stake: return posting_kind::slash;
    case purse::assurance: return to_stage ? posting_kind::compensate : posting_kind::clawback;
    default: return posting_kind::clawback;
    }
  }

  /// As much of `amount` as the source has.
  micro_credits pay(const account_ref& from, const account_ref& to, micro_credits amount,
                    posting_kind why) {
    const micro_credits paid = std::min(amount, b_.balance(from));
    b_.post(why, from, to, paid);
    return paid;
  }

  /// Takes a window back: what its participants have pending goes to the payer, honest or not; the
  /// honest ones are owed their shares from then on.
  void void_window(std::uint32_t number) {
    window_record& w = q_.windows[number];
    if (w.phase == window_phase::voided) {
      return;
    }
    b_.about_window = number;
    micro_credits owed = w.gross - w.refund;
    if (w.phase == window_phase::pending) {
      for (const pending_share& share : w.shares) {
        if (!b_.at(share.node).ejected) {
          b_.post(posting_kind::clawback, purse_of(purse::pending, share.node), payer_,
                  share.amount);
          owed -= share.amount;
          if (share.node != x_.guilty) {
            honest_[share.node] += share.amount;
          }
        }
      }
      b_.end_window(x_.request, q_, number, window_phase::voided);
    } else {
      w.phase = window_phase::voided; // released: who was honest keeps it
    }
    owed -= pay({purse::assurance, {}}, payer_, std::min(w.fee + w.withheld, owed),
                posting_kind::clawback);
    owed_to_payer_ += owed;
  }

  void compensate_honest() {
    for (const account_ref& source :
         {guilty_pending_, guilty_stake_, account_ref{purse::assurance, {}}}) {
      compensate_from(source);
    }
    std::vector<pending_share> shares;
    for (const auto& [node, amount] : given_) {
      shares.push_back({node, amount, 0, 0, {}});
    }
    if (!shares.empty()) {
      window_record record;
      record.shares = std::move(shares);
      const std::uint32_t number = next_compensation();
      b_.add_window(x_.request, q_, number, std::move(record));
    }
  }

  [[nodiscard]] std::uint32_t next_compensation() const {
    return static_cast<std::uint32_t>(first_compensation + q_.compensations.size());
  }

  /// Divides what a source has among those who are owed, in proportion, and no more than that.
  void compensate_from(const account_ref& source) {
    std::vector<weighted> cohort;
    wide owed = 0;
    for (const auto& [node, amount] : honest_) {
      if (amount > 0) {
        cohort.push_back({node, amount});
        owed += amount;
      }
    }
    const micro_credits there = b_.balance(source);
    if (cohort.empty() || there == 0) {
      return;
    }
    b_.about_window = next_compensation();
    const micro_credits budget = owed < there ? static_cast<micro_credits>(owed) : there;
    const std::vector<micro_credits> parts = divide_among(budget, cohort);
    for (std::size_t i = 0; i < cohort.size(); ++i) {
      const node_id& node = cohort[i].participant;
      b_.post(kind_from(source, true), source, purse_of(purse::pending, node), parts[i]);
      honest_[node] -= parts[i];
      if (parts[i] > 0) {
        given_[node] += parts[i];
      }
    }
  }

  /// `split` takes as many as a path has; who served many windows from caches may be more.
  [[nodiscard]] static std::vector<micro_credits> divide_among(micro_credits budget,
                                                               const std::vector<weighted>& all) {
    if (all.size() <= limits::ledger_participants_max) {
      auto parts = split(budget, all);
      OVIR_CHECK(parts.has_value());
      return std::move(*parts);
    }
    wide sum = 0;
    for (const weighted& w : all) {
      sum += w.weight;
    }
    std::vector<micro_credits> parts;
    micro_credits left = budget;
    for (const weighted& w : all) {
      parts.push_back(static_cast<micro_credits>(wide{budget} * w.weight / sum));
      left -= parts.back();
    }
    for (std::size_t i = 0; left > 0; ++i, --left) {
      ++parts[i]; // in the order of ids; fewer units are left than there are participants
    }
    return parts;
  }

  void reward_finder() {
    b_.about_window = x_.window;
    const account_ref burn{purse::burn, {}};
    const micro_credits fee =
        scaled(b_.balance(guilty_stake_), b_.origin.rules.finder_ppm, limits::ppm_one);
    b_.post(posting_kind::finder_fee, guilty_stake_, purse_of(purse::free, x_.finder), fee);
    b_.post(posting_kind::slash, guilty_stake_, burn, b_.balance(guilty_stake_));
    b_.post(posting_kind::burn, guilty_pending_, burn, b_.balance(guilty_pending_));
  }

  void eject() {
    account& a = b_.at(x_.guilty);
    for (const unlocking& u : a.unlockings) {
      b_.unlockings.erase({u.due, x_.guilty, u.nonce});
    }
    a.unlockings.clear();
    a.ejected = true;
    a.consecutive = 0;
  }

  books& b_;
  const convict& x_;
  request_record& q_;
  account_ref payer_;
  account_ref guilty_pending_;
  account_ref guilty_stake_;
  micro_credits owed_to_payer_{0};
  std::map<node_id, micro_credits> honest_; ///< still owed
  std::map<node_id, micro_credits> given_;
};

result<void> check_finder(const books& b, const convict& x) {
  const account* const finder = b.find(x.finder);
  return finder == nullptr || !finder->ejected
             ? result<void>{}
             : fail(errc::invalid_argument, "the finder {} was convicted itself",
                    short_name(x.finder));
}

result<void> convict_scheduler(books& b, const convict& x, request_record& q) {
  if (q.scheduler != x.guilty) {
    return fail(errc::invalid_argument, "the request {} is driven by {}, not by {}",
                to_hex(x.request).substr(0, 8), short_name(q.scheduler), short_name(x.guilty));
  }
  OVIR_TRY(check_finder(b, x));
  b.about = x.request;
  conviction{b, x, q}.execute_on_scheduler();
  return {};
}

} // namespace

result<void> run(books& b, const convict& x) {
  const auto found = b.requests.find(x.request);
  const auto not_there = [&] {
    return fail(errc::not_found, "the request {} has no window {} that could be taken back",
                to_hex(x.request).substr(0, 8), x.window);
  };
  if (found == b.requests.end()) {
    return not_there();
  }
  request_record& q = found->second;
  if (x.kind == evidence_kind::double_charge) {
    return convict_scheduler(b, x, q);
  }
  if (x.window >= q.windows.size()) {
    return not_there();
  }
  const std::vector<pending_share>& shares = q.windows[x.window].shares;
  if (std::none_of(shares.begin(), shares.end(),
                   [&](const pending_share& s) { return s.node == x.guilty; })) {
    return fail(errc::invalid_argument, "{} had no part in window {} of this request",
                short_name(x.guilty), x.window);
  }
  if (q.compensations.size() >= limits::ledger_windows_max) {
    return fail(errc::over_limit, "a request has at most {} compensations",
                limits::ledger_windows_max);
  }
  for (const verdict& v : x.verdicts) {
    OVIR_TRY(check_verifier(v.verifier, b.find(v.verifier), b.origin.rules));
  }
  OVIR_TRY(check_finder(b, x));
  b.about = x.request;
  conviction{b, x, q}.execute();
  b.forget_if_done(x.request);
  return {};
}

} // namespace ovir::ledger
