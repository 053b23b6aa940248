#include "ledger/rules/rules.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

/// Precondition: there is room for them.
void name_payees(request_record& q, const std::vector<path_stage>& stages) {
  for (const path_stage& s : stages) {
    const auto at = std::lower_bound(q.path.begin(), q.path.end(), s.node);
    if (at == q.path.end() || *at != s.node) {
      q.path.insert(at, s.node);
    }
  }
}

} // namespace

result<void> run(books& b, const reserve& x) {
  const policy& rules = b.origin.rules;
  if (x.expires <= b.now || x.expires - b.now > rules.reservation_s_max) {
    return fail(errc::invalid_argument,
                "the reservation ends at {}; it is {}, and it may last {} seconds at most",
                x.expires, b.now, rules.reservation_s_max);
  }
  if ((x.rate == 0) != is_free(rules)) {
    return fail(errc::invalid_argument, "the model's rate is {}; where the policy is {} it is {}",
                x.rate, to_string(rules.deterrence.mode), is_free(rules) ? "0" : "at least 1");
  }
  std::vector<priced_stage> priced;
  for (const path_stage& s : x.stages) {
    priced.push_back({s.layers, s.ask_ppm});
    OVIR_TRY(b.check_admission(s.node));
  }
  OVIR_ASSIGN(const micro_credits rate, path_rate(x.rate, priced));
  OVIR_ASSIGN(const micro_credits quote, token_price(x.prompt, x.completion_max, rate));
  const account* const payer = b.find(x.payer);
  const micro_credits has = payer == nullptr ? 0 : payer->free;
  if (has < quote) {
    return fail(errc::over_limit,
                "{} has {} micro-credits free and this request may cost {}; add credit or ask for "
                "fewer tokens",
                short_name(x.payer), has, quote);
  }
  if (payer != nullptr && payer->open_requests >= limits::ledger_open_requests_max) {
    return fail(errc::busy, "{} has {} requests open, as many as it may; wait for one to end",
                short_name(x.payer), payer->open_requests);
  }
  if (x.voucher != digest{}) {
    OVIR_TRY(check_budget(b, x, quote));
  }
  b.about = escrow_of(x);
  request_record& q = b.requests[b.about];
  q.payer = x.payer;
  q.scheduler = x.scheduler.empty() ? x.payer : x.scheduler;
  q.rate = rate;
  q.prompt = x.prompt;
  q.completion_max = x.completion_max;
  q.expires = x.expires;
  q.reserved = quote;
  q.voucher = x.voucher;
  for (const path_stage& s : x.stages) {
    q.layers += s.layers; // at most ledger_layers_max each, as path_rate saw
  }
  name_payees(q, x.stages);
  ++b.at(x.payer).open_requests;
  b.expirations.emplace(x.expires, b.about);
  b.note_open(q, true);
  b.post(posting_kind::reserve, purse_of(purse::free, x.payer), {purse::escrow, b.about}, quote);
  return {};
}

result<void> run(books& b, const settle& x) {
  OVIR_ASSIGN(request_record* const q,
              b.driven_request(x.request, x.scheduler, command_kind::settle));
  if (x.scheduler.empty()) { // claims leave nothing
    b.close(x.request, *q, posting_kind::settle);
  } else {
    b.end(x.request, *q, posting_kind::settle);
  }
  return {};
}

result<void> run(books& b, const cancel& x) {
  OVIR_ASSIGN(request_record* const q, b.open_request(x.request));
  if (q->payer != x.payer) {
    return fail(errc::invalid_argument, "{} did not make this reservation", short_name(x.payer));
  }
  if (q->ended) {
    return fail(errc::invalid_argument, "this request was ended; what is left comes back at {}",
                q->expires);
  }
  if (q->scheduler != q->payer) { // else it could take the answer first
    return fail(errc::invalid_argument,
                "this reservation is entrusted to {}; it ends when that settles it, or at {}",
                short_name(q->scheduler), q->expires);
  }
  if (!q->windows.empty()) {
    return fail(errc::invalid_argument,
                "work was done for this request; it ends when its scheduler settles it, or at {}",
                q->expires);
  }
  b.end(x.request, *q, posting_kind::cancel); // it may have let stages work
  return {};
}

result<void> run(books& b, const expire& x) {
  OVIR_ASSIGN(request_record* const q, b.open_request(x.request));
  if (q->expires > b.now) {
    return fail(errc::invalid_argument, "the reservation lasts until {}; it is {}", q->expires,
                b.now);
  }
  b.close(x.request, *q, q->ended ? posting_kind::settle : posting_kind::expire);
  return {};
}

result<void> run(books& b, const reroute& x) {
  OVIR_ASSIGN(request_record* const q,
              b.driven_request(x.request, x.scheduler, command_kind::reroute));
  if (q->path.size() + x.stages.size() > limits::ledger_path_nodes_max) {
    return fail(errc::over_limit, "a request names at most {} stages in all its life",
                limits::ledger_path_nodes_max);
  }
  std::vector<priced_stage> priced;
  for (const path_stage& s : x.stages) {
    priced.push_back({s.layers, s.ask_ppm});
    OVIR_TRY(b.check_admission(s.node));
  }
  OVIR_TRY(path_rate(1, priced)); // for its ranges: the price stays
  name_payees(*q, x.stages);
  return {};
}

} // namespace ovir::ledger
