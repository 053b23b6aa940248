#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/rules.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/standing.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

// Windows: accrued, released, compensated.
namespace ovir::ledger {

namespace {

/// What becomes of one window's price.
struct division {
  token_delta tokens;
  micro_credits gross{0};
  micro_credits refund{0}; ///< of the cached part
  micro_credits fee{0};
  micro_credits computed{0}; ///< to divide among those who computed
  micro_credits served{0};   ///< to divide among those who served from a cache
};

result<division> divide(const books& b, const accrue& x, const request_record& q) {
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
  const policy& rules = b.origin.rules;
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
/// refused, and one that favours a stage as well. What of `amount` is withheld: late work's part.
result<micro_credits> check_shares(const books& b, const request_record& q,
                                   const std::vector<window_share>& shares, micro_credits amount,
                                   std::string_view what) {
  wide sum = 0;
  std::uint64_t units = 0;
  std::vector<weighted> cohort;
  for (const window_share& s : shares) {
    const account* const a = b.find(s.node);
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
  if (shares.empty() && amount == 0) {
    return 0;
  }
  std::vector<micro_credits> right; // the wrong sum is told rather than what is wrong with a weight
  if (auto parts = split(amount, cohort)) {
    right = std::move(*parts);
  } else if (sum == amount) {
    return parts.error();
  }
  micro_credits withheld = 0;
  for (std::size_t i = 0; i < right.size(); ++i) {
    const micro_credits late = scaled(right[i], shares[i].late_ppm, limits::ppm_one);
    right[i] -= late;
    withheld += late;
  }
  if (sum + withheld != amount) {
    return fail(errc::invalid_argument,
                "the shares of who {} it add up to {}, but there are {} to divide; nothing was "
                "moved",
                what,
                sum > limits::ledger_supply_max
                    ? "too much"
                    : fmt::format("{}", static_cast<std::uint64_t>(sum)),
                amount - withheld);
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].amount != right[i]) {
      return fail(errc::invalid_argument, "the share of {} is {}; by the weights it is {}",
                  short_name(shares[i].node), shares[i].amount, right[i]);
    }
  }
  return withheld;
}

/// Whoever draws computes a hash for each unit of an epoch.
result<void> check_units(const books& b, const accrue& x, const request_record& q) {
  const std::uint64_t units =
      std::uint64_t{windows_paid(q.prompt, x.window).count} * x.computed.size();
  if (units > limits::epoch_units_max / 2) {
    return fail(errc::over_limit, "an accrual of {} units to be drawn from; at most {} are taken",
                units, limits::epoch_units_max / 2);
  }
  if (units > limits::epoch_units_max - b.epochs.units) {
    return fail(errc::busy, "epoch {} has {} units, as many as it may; it is closed first",
                b.epochs.number, b.epochs.units);
  }
  return {};
}

/// What was computed is paid once, whatever is reserved for it.
result<void> check_unpaid(const books& b, const accrue& x) {
  for (const window_share& s : x.computed) {
    if (const auto place = b.find_paid(s, x.scheduler, x.request)) {
      return fail(errc::superseded,
                  "the statement of {} in window {} is paid by window {} of the request {}; what "
                  "was computed is paid once",
                  short_name(s.node), x.window, place->window, to_hex(place->request).substr(0, 8));
    }
  }
  return {};
}

/// What a request paid for its audits, as far as no conviction took it back.
micro_credits assured(const request_record& q) {
  micro_credits sum = 0;
  for (const window_record& w : q.windows) {
    sum += w.phase == window_phase::voided ? 0 : w.fee;
  }
  return sum;
}

/// The audited unit must have been paid for, and not by whom it pays.
result<void> check_audited(const books& b, const compensate& x, const request_record& q) {
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
  if (std::none_of(shares.begin(), shares.end(),
                   [&](const pending_share& s) { return s.node == x.signer; })) {
    return fail(errc::invalid_argument,
                "{} has no share in window {}; a fee names whose work was audited",
                short_name(x.signer), x.window);
  }
  if (x.amount == 0 && !is_free(b.origin.rules)) {
    return fail(errc::invalid_argument, "a fee of nothing pays for no audit");
  }
  const micro_credits most = b.origin.rules.deterrence.audit_fee;
  if (x.amount > most) {
    return fail(errc::invalid_argument, "an audit pays {} micro-credits at most, not {}", most,
                x.amount);
  }
  return {};
}

/// What is left of what a request paid for its audits: a fee is no more than that, and the audit is
/// in the log all the same.
micro_credits left_for_audits(const books& b, const request_record& q) {
  const micro_credits paid_in = assured(q);
  return std::min(b.sums.assurance, paid_in - std::min(paid_in, q.audit_fees));
}

} // namespace

result<void> run(books& b, const accrue& x) {
  OVIR_ASSIGN(request_record* const q,
              b.driven_request(x.request, x.scheduler, command_kind::accrue));
  if (x.window != q->windows.size()) {
    return fail(errc::invalid_argument, "window {} is next, not {}", q->windows.size(), x.window);
  }
  if (q->windows.size() >= limits::ledger_windows_max) {
    return fail(errc::over_limit, "a request has at most {} windows", limits::ledger_windows_max);
  }
  OVIR_TRY(check_units(b, x, *q));
  OVIR_ASSIGN(const division d, divide(b, x, *q));
  OVIR_ASSIGN(const micro_credits withheld,
              check_shares(b, *q, x.computed, d.computed, "computed"));
  OVIR_TRY(check_shares(b, *q, x.served, d.served, "served")); // no work: none of it is late
  OVIR_TRY(check_unpaid(b, x));
  b.about_window = x.window;
  const account_ref escrow{purse::escrow, x.request};
  window_record record;
  record.gross = d.gross;
  record.fee = d.fee;
  record.refund = d.refund;
  record.withheld = withheld;
  for (const std::vector<window_share>* shares : {&x.computed, &x.served}) {
    for (const window_share& s : *shares) {
      b.post(posting_kind::accrue, escrow, purse_of(purse::pending, s.node), s.amount);
      record.shares.push_back(
          {s.node, s.amount, s.units, s.on_time, shares == &x.computed ? s.statement : digest{}});
    }
  }
  b.post(posting_kind::fee, escrow, {purse::assurance, {}}, d.fee);
  b.post(posting_kind::withheld, escrow, {purse::assurance, {}}, withheld);
  b.post(posting_kind::cache_refund, escrow, purse_of(purse::free, q->payer), d.refund);
  q->accrued += d.gross - d.refund;
  q->cache_refunded += d.refund;
  q->prompt_accounted = true;
  q->accounted += d.tokens.completion;
  b.add_window(x.request, *q, x.window, std::move(record));
  return {};
}

result<void> run(books& b, const release& x) {
  const auto found = b.requests.find(x.request);
  const bool extra = x.window >= first_compensation;
  const std::size_t place = extra ? x.window - first_compensation : x.window;
  if (found == b.requests.end() ||
      place >= (extra ? found->second.compensations : found->second.windows).size()) {
    return fail(errc::not_found, "the request {} has no window {} pending",
                to_hex(x.request).substr(0, 8), x.window);
  }
  request_record& q = found->second;
  const window_record& w = (extra ? q.compensations : q.windows)[place];
  if (w.phase != window_phase::pending) {
    return fail(errc::invalid_argument, "window {} was voided by a conviction", x.window);
  }
  if (b.now < w.accrued_at + b.origin.rules.audit_window_s) {
    return fail(errc::invalid_argument, "window {} can be audited until {}; it is {}", x.window,
                w.accrued_at + b.origin.rules.audit_window_s, b.now);
  }
  b.about = x.request;
  b.about_window = x.window;
  for (const pending_share& s : w.shares) {
    if (b.at(s.node).ejected) {
      continue; // lost with its conviction
    }
    b.post(posting_kind::release, purse_of(purse::pending, s.node), purse_of(purse::free, s.node),
           s.amount);
    account& a = b.at(s.node);
    a.earned += s.amount;
    a.valid_units += s.on_time;
    a.consecutive = s.on_time == s.units ? a.consecutive + s.units : 0;
  }
  b.end_window(x.request, q, x.window, window_phase::released);
  b.forget_if_done(x.request);
  return {};
}

result<void> run(books& b, const compensate& x) {
  const auto found = b.requests.find(x.request);
  if (found == b.requests.end()) {
    return fail(errc::not_found, "there is no request {}; it is over, or was never reserved",
                to_hex(x.request).substr(0, 8));
  }
  OVIR_TRY(check_verifier(x.to, b.find(x.to), b.origin.rules));
  OVIR_TRY(check_audited(b, x, found->second));
  request_record& q = found->second;
  const micro_credits amount = std::min(x.amount, left_for_audits(b, q));
  if (q.compensations.size() >= limits::ledger_windows_max) {
    return fail(errc::over_limit, "a request has at most {} compensations",
                limits::ledger_windows_max);
  }
  const auto number = static_cast<std::uint32_t>(first_compensation + q.compensations.size());
  b.about = x.request;
  b.about_window = number;
  b.post(posting_kind::compensate, {purse::assurance, {}}, purse_of(purse::pending, x.to), amount);
  q.audit_fees += amount;
  window_record record;
  record.shares.push_back({x.to, amount, 0, 0, {}});
  b.add_window(x.request, q, number, std::move(record));
  return {};
}

} // namespace ovir::ledger
