#include "ledger/keeper/reports.hpp"

#include "ledger/rules/standing.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace ovir::ledger {

namespace {

/// The entry under an id; nothing where there is none.
template <class Command>
result<std::optional<Command>> entry_under(const ledger& book, const digest& id) {
  const auto index = book.view().index_of(id);
  if (!index) {
    return std::optional<Command>{};
  }
  OVIR_ASSIGN(const std::vector<std::byte> bytes, book.log().entry_at(*index));
  OVIR_ASSIGN(entry e, decode_entry(bytes));
  auto* const found = std::get_if<Command>(&e.what);
  OVIR_CHECK(found != nullptr, *index);
  return std::optional{std::move(*found)};
}

/// Of a request that the state has forgotten, because nothing of it can change: by its accruals, as
/// the rules divided them. How many entries were read is added to `reads`.
result<void> add_accruals(const ledger& book, const reserve& r, budget_request& of,
                          std::size_t& reads) {
  std::vector<priced_stage> priced;
  for (const path_stage& s : r.stages) {
    priced.push_back({s.layers, s.ask_ppm});
  }
  OVIR_ASSIGN(const micro_credits rate, path_rate(r.rate, priced));
  OVIR_ASSIGN(of.reserved, token_price(r.prompt, r.completion_max, rate));
  accrue named;
  named.request = of.request;
  for (;; ++named.window, ++reads) {
    OVIR_ASSIGN(const std::optional<accrue> window, entry_under<accrue>(book, id_of(named)));
    if (!window) {
      return {};
    }
    const token_delta d = delta_at(r.prompt, named.window > 0, window->frontier, of.completion);
    OVIR_ASSIGN(const micro_credits gross, token_price(d.prompt, d.completion, rate));
    const micro_credits cached = scaled(gross, window->cached_ppm, limits::ppm_one);
    const micro_credits served =
        scaled(cached, book.view().origin().rules.cache_ppm, limits::ppm_one);
    of.prompt += d.prompt;
    of.completion += d.completion;
    of.spent += gross - (cached - served);
  }
}

result<budget_request> outcome_of(const ledger& book, const reserve& r, const statement_line& l,
                                  std::size_t& reads) {
  budget_request of;
  of.request = l.what.request;
  of.entry = l.index;
  of.time = l.time;
  of.scheduler = r.scheduler;
  if (const request_record* const q = book.view().find_request(of.request)) {
    of.open = q->open;
    of.prompt = q->prompt_accounted ? q->prompt : 0;
    of.completion = q->accounted;
    of.reserved = q->reserved;
    of.spent = q->accrued;
    return of;
  }
  OVIR_TRY(add_accruals(book, r, of, reads));
  return of;
}

} // namespace

account_report report_on_account(const state& s, const node_id& who) {
  account_report report;
  report.who = who;
  if (const account* const a = s.find(who)) {
    const policy& rules = s.origin().rules;
    report.free = a->free;
    report.pending = a->pending;
    report.stake = a->stake;
    report.leaving = a->stake - a->firm_stake();
    report.earned = a->earned;
    report.nonce = a->nonce;
    report.reputation_ppm = reputation_ppm(*a, s.last_time(), rules);
    report.influence = influence(*a, s.last_time(), rules);
    report.pending_windows = a->pending_windows;
  }
  report.newcomer = s.is_newcomer(who);
  report.admitted = s.check_admission(who).has_value();
  return report;
}

request_report report_on_request(const state& s, const escrow_id& request) {
  request_report report;
  report.request = request;
  if (const request_record* const q = s.find_request(request)) {
    report.prompt = q->prompt;
    report.known = true;
    report.open = q->open && !q->ended;
    report.prompt_accounted = q->prompt_accounted;
    report.windows = static_cast<std::uint32_t>(q->windows.size());
    report.accounted = q->accounted;
    report.reserved = q->reserved;
    report.accrued = q->accrued;
    report.held = q->held;
    report.expires = q->expires;
    report.scheduler = q->scheduler;
  }
  return report;
}

budget_report report_on_voucher(const state& s, const ask_voucher& asked, const node_id& asker,
                                std::uint64_t now) {
  budget_report report;
  report.asked = asked.which;
  report.time = std::max(now, s.last_time());
  const auto worth = [&](const voucher_record& v) {
    const bool good = !v.revoked && v.expires > report.time && v.may_reserve(asker);
    return std::tuple{good, v.left(), v.expires};
  };
  const voucher_record* best = nullptr;
  for (const digest& name :
       asked.by_key ? s.vouchers().for_key(asked.which) : std::vector{asked.which}) {
    const voucher_record* const v = s.vouchers().find(name);
    if (v != nullptr && (best == nullptr || worth(*v) > worth(*best))) {
      best = v;
      report.voucher = name;
    }
  }
  if (best == nullptr) {
    return report;
  }
  report.known = true;
  report.account = best->account;
  report.key = best->key;
  report.limit = best->limit;
  report.reserved = best->reserved;
  report.spent = best->spent;
  report.expires = best->expires;
  report.revoked = best->revoked;
  report.may_reserve = best->may_reserve(asker);
  const account* const payer = s.find(best->account);
  report.free = payer == nullptr ? 0 : payer->free;
  return report;
}

result<budget_statement> statement_of_voucher(ledger& book, const ask_voucher_statement& asked) {
  const voucher_record* const v = book.view().vouchers().find(asked.voucher);
  if (v == nullptr) {
    return fail(errc::not_found, "there is no voucher {}; it is over, or was never made",
                to_hex(asked.voucher).substr(0, 8));
  }
  OVIR_ASSIGN(const statement_page lines,
              book.statement(v->account, {asked.first, 0, false}, limits::statement_lines_max));
  budget_statement page;
  page.voucher = asked.voucher;
  std::size_t reads = 0;
  for (const statement_line& l : lines.lines) {
    if (!l.out || l.what.kind != posting_kind::reserve) {
      continue;
    }
    if (page.requests.size() == limits::voucher_page_max ||
        reads >= limits::voucher_page_reads_max) {
      page.more = true;
      page.next = l.index;
      return page;
    }
    OVIR_ASSIGN(const auto r, entry_under<reserve>(book, reservation_id(l.what.request)));
    if (r && r->voucher == asked.voucher) {
      OVIR_ASSIGN(budget_request one, outcome_of(book, *r, l, reads));
      page.requests.push_back(std::move(one));
    }
  }
  page.more = lines.more;
  page.next = lines.more ? lines.lines.back().index + 1 : 0; // a reservation moves one amount
  return page;
}

} // namespace ovir::ledger
