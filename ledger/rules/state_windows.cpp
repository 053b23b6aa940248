#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/standing.hpp"
#include "ledger/rules/state.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

/// Windows: accrued, released, compensated.
namespace ovir::ledger {

/// What becomes of one window's price.
struct state::division {
  token_delta tokens;
  micro_credits gross{0};
  micro_credits refund{0}; ///< of the cached part
  micro_credits fee{0};
  micro_credits computed{0}; ///< to divide among those who computed
  micro_credits served{0};   ///< to divide among those who served from a cache
};

result<state::division> state::divide(const accrue& x, const request_record& q) const {
  division d;
  d.tokens = delta_at(q.prompt, q.prompt_accounted, x.frontier, q.accounted);
  if (x.frontier > q.completion_max) {
    return fail(errc::invalid_argument, "{} tokens are done, but only {} were reserved for",
                x.frontier, q.completion_max);
  }
  if (d.tokens == token_delta{}) {
    return fail(errc::invalid_argument, "nothing is new at {} tokens; {} are accounted for",
                x.frontier, q.accounted);
  }
  OVIR_ASSIGN(d.gross, token_price(d.tokens.prompt, d.tokens.completion, q.rate));
  OVIR_CHECK(d.gross <= q.held, d.gross, q.held); // the quote covers every frontier up to its end
  const policy& rules = origin_.rules;
  const micro_credits cached = scaled(d.gross, x.cached_ppm, limits::ppm_one);
  const micro_credits to_servers = scaled(cached, rules.cache_ppm, limits::ppm_one);
  d.refund = cached - to_servers;
  const micro_credits fee_computed = scaled(d.gross - cached, rules.fee_ppm, limits::ppm_one);
  const micro_credits fee_served = scaled(to_servers, rules.fee_ppm, limits::ppm_one);
  d.fee = fee_computed + fee_served;
  d.computed = d.gross - cached - fee_computed;
  d.served = to_servers - fee_served;
  return d;
}

/// The shares must be what the rule makes of the weights; so a settlement that does not conserve is
/// refused, and one that favours somebody as well.
result<void> state::check_shares(const request_record& q, const std::vector<window_share>& shares,
                                 micro_credits amount, std::string_view what) const {
  wide sum = 0;
  std::uint64_t units = 0;
  std::vector<weighted> cohort;
  for (const window_share& s : shares) {
    const account* const a = find(s.node);
    if (a != nullptr && a->ejected) {
      return fail(errc::invalid_argument, "{} was convicted and is paid no more",
                  short_name(s.node));
    }
    if (!std::binary_search(q.path.begin(), q.path.end(), s.node)) {
      return fail(errc::invalid_argument,
                  "{} is no stage that this request reserved for; its scheduler reroutes it first",
                  short_name(s.node));
    }
    sum += s.amount;
    units += s.units;
    cohort.push_back({s.node, s.weight});
  }
  if (units > q.layers) { // they become history and influence
    return fail(errc::invalid_argument, "{} units of a window; its path has {} layers", units,
                q.layers);
  }
  if (sum != amount) {
    return fail(errc::invalid_argument,
                "the shares of who {} it add up to {}, but there are {} to divide; nothing was "
                "moved",
                what,
                sum > limits::ledger_supply_max
                    ? "too much"
                    : fmt::format("{}", static_cast<std::uint64_t>(sum)),
                amount);
  }
  if (shares.empty()) {
    return {};
  }
  OVIR_ASSIGN(const std::vector<micro_credits> right, split(amount, cohort));
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].amount != right[i]) {
      return fail(errc::invalid_argument, "the share of {} is {}; by the weights it is {}",
                  short_name(shares[i].node), shares[i].amount, right[i]);
    }
  }
  return {};
}

void state::add_window(const escrow_id& request, request_record& q, std::uint32_t number,
                       window_record record) {
  record.accrued_at = now_;
  releases_.emplace(now_ + origin_.rules.audit_window_s, request, number);
  ++q.unsettled;
  for (const pending_share& s : record.shares) {
    account& a = at(s.node);
    a.assigned_units += s.units;
    a.last_active = now_;
    ++a.pending_windows;
  }
  (number >= first_compensation ? q.compensations : q.windows).push_back(std::move(record));
}

result<void> state::run(const accrue& x) {
  OVIR_ASSIGN(request_record* const q, open_request(x.request));
  if (x.window != q->windows.size()) {
    return fail(errc::invalid_argument, "window {} is next, not {}", q->windows.size(), x.window);
  }
  if (q->windows.size() >= limits::ledger_windows_max) {
    return fail(errc::over_limit, "a request has at most {} windows", limits::ledger_windows_max);
  }
  OVIR_ASSIGN(const division d, divide(x, *q));
  OVIR_TRY(check_shares(*q, x.computed, d.computed, "computed"));
  OVIR_TRY(check_shares(*q, x.served, d.served, "served"));
  about_window_ = x.window;
  const account_ref escrow{purse::escrow, x.request};
  window_record record;
  record.gross = d.gross;
  record.fee = d.fee;
  record.refund = d.refund;
  for (const std::vector<window_share>* shares : {&x.computed, &x.served}) {
    for (const window_share& s : *shares) {
      post(posting_kind::accrue, escrow, purse_of(purse::pending, s.node), s.amount);
      record.shares.push_back({s.node, s.amount, s.units, s.on_time});
    }
  }
  post(posting_kind::fee, escrow, {purse::assurance, {}}, d.fee);
  post(posting_kind::cache_refund, escrow, purse_of(purse::free, q->payer), d.refund);
  q->accrued += d.gross - d.refund;
  q->cache_refunded += d.refund;
  q->prompt_accounted = true;
  q->accounted += d.tokens.completion;
  add_window(x.request, *q, x.window, std::move(record));
  return {};
}

void state::end_window(const escrow_id& request, request_record& q, std::uint32_t number,
                       window_phase phase) {
  window_record& w = number >= first_compensation ? q.compensations[number - first_compensation]
                                                  : q.windows[number];
  OVIR_CHECK(w.phase == window_phase::pending, number);
  releases_.erase({w.accrued_at + origin_.rules.audit_window_s, request, number});
  w.phase = phase;
  --q.unsettled;
  for (const pending_share& s : w.shares) {
    --at(s.node).pending_windows;
  }
}

result<void> state::run(const release& x) {
  const auto found = requests_.find(x.request);
  const bool extra = x.window >= first_compensation;
  const std::size_t place = extra ? x.window - first_compensation : x.window;
  if (found == requests_.end() ||
      place >= (extra ? found->second.compensations : found->second.windows).size()) {
    return fail(errc::not_found, "the request {} has no window {} pending",
                to_hex(x.request).substr(0, 8), x.window);
  }
  request_record& q = found->second;
  const window_record& w = (extra ? q.compensations : q.windows)[place];
  if (w.phase != window_phase::pending) {
    return fail(errc::invalid_argument, "window {} was voided by a conviction", x.window);
  }
  if (now_ < w.accrued_at + origin_.rules.audit_window_s) {
    return fail(errc::invalid_argument, "window {} can be audited until {}; it is {}", x.window,
                w.accrued_at + origin_.rules.audit_window_s, now_);
  }
  about_ = x.request;
  about_window_ = x.window;
  for (const pending_share& s : w.shares) {
    if (at(s.node).ejected) {
      continue; // lost with its conviction
    }
    post(posting_kind::release, purse_of(purse::pending, s.node), purse_of(purse::free, s.node),
         s.amount);
    account& a = at(s.node);
    a.earned += s.amount;
    a.valid_units += s.on_time;
    a.consecutive = s.on_time == s.units ? a.consecutive + s.units : 0;
  }
  end_window(x.request, q, x.window, window_phase::released);
  forget_if_done(x.request);
  return {};
}

result<void> state::run(const reroute& x) {
  OVIR_ASSIGN(request_record* const q, open_request(x.request));
  if (q->scheduler != x.scheduler) {
    return fail(errc::invalid_argument, "the request {} is driven by {}, who alone may reroute it",
                to_hex(x.request).substr(0, 8), short_name(q->scheduler));
  }
  if (q->path.size() + x.stages.size() > limits::ledger_path_nodes_max) {
    return fail(errc::over_limit, "a request names at most {} stages in all its life",
                limits::ledger_path_nodes_max);
  }
  std::vector<priced_stage> priced;
  for (const path_stage& s : x.stages) {
    priced.push_back({s.layers, s.ask_ppm});
    OVIR_TRY(check_admission(s.node, find(s.node), origin_.rules));
  }
  OVIR_TRY(path_rate(1, priced)); // for its ranges: the price stays
  name_payees(*q, x.stages);
  return {};
}

/// What a request paid for its audits, as far as no conviction took it back.
micro_credits state::assured(const request_record& q) {
  micro_credits sum = 0;
  for (const window_record& w : q.windows) {
    sum += w.phase == window_phase::voided ? 0 : w.fee;
  }
  return sum;
}

/// The audited unit must have been paid for, and not by whom it pays.
result<void> state::check_audited(const compensate& x, const request_record& q) const {
  const std::uint32_t window = accrual_window(q.prompt, x.window);
  if (window >= q.windows.size() || q.windows[window].phase != window_phase::pending) {
    return fail(errc::invalid_argument,
                "window {} of this request has no accrual whose audit is under way; a fee is for "
                "one that has",
                x.window);
  }
  if (x.layer >= q.layers) {
    return fail(errc::invalid_argument, "layer {} was audited, and the path has {}", x.layer,
                q.layers);
  }
  const std::vector<pending_share>& shares = q.windows[window].shares;
  if (x.to == q.scheduler || x.to == q.payer ||
      std::any_of(shares.begin(), shares.end(),
                  [&](const pending_share& s) { return s.node == x.to; })) {
    return fail(errc::invalid_argument, "{} took part in this window and audits another's alone",
                short_name(x.to));
  }
  const micro_credits most = origin_.rules.deterrence.audit_fee;
  if (x.amount > most) {
    return fail(errc::invalid_argument, "an audit pays {} micro-credits at most, not {}", most,
                x.amount);
  }
  const micro_credits paid_in = assured(q);
  if (q.audit_fees > paid_in || x.amount > paid_in - q.audit_fees) {
    return fail(errc::over_limit,
                "this request paid {} micro-credits for its audits, of which {} are given out",
                paid_in, q.audit_fees);
  }
  return {};
}

result<void> state::run(const compensate& x) {
  const auto found = requests_.find(x.request);
  if (found == requests_.end()) {
    return fail(errc::not_found, "there is no request {}; it is over, or was never reserved",
                to_hex(x.request).substr(0, 8));
  }
  const account* const to = find(x.to);
  if (to != nullptr && to->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and is paid no more", short_name(x.to));
  }
  OVIR_TRY(check_audited(x, found->second));
  if (totals_.assurance < x.amount) {
    return fail(errc::invalid_argument, "the assurance account has {}, which is less than {}",
                totals_.assurance, x.amount);
  }
  request_record& q = found->second;
  if (q.compensations.size() >= limits::ledger_windows_max) {
    return fail(errc::over_limit, "a request has at most {} compensations",
                limits::ledger_windows_max);
  }
  const auto number = static_cast<std::uint32_t>(first_compensation + q.compensations.size());
  about_ = x.request;
  about_window_ = number;
  post(posting_kind::compensate, {purse::assurance, {}}, purse_of(purse::pending, x.to), x.amount);
  q.audit_fees += x.amount;
  window_record record;
  record.shares.push_back({x.to, x.amount, 0, 0});
  add_window(x.request, q, number, std::move(record));
  return {};
}

} // namespace ovir::ledger
