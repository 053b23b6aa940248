#include "ledger/rules/rules.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

// Budgets of API keys: made, revoked, and asked whether they pay.
namespace ovir::ledger {

namespace {

std::string name_of(const digest& voucher) { return to_hex(voucher).substr(0, 8); }

void note_changed(books& b, const digest& voucher) {
  if (b.tracking) {
    b.changed.vouchers.push_back(voucher);
  }
}

} // namespace

/// Those of the account that are over are forgotten now: so as many are kept as may be.
result<void> run(books& b, const voucher& x) {
  const account* const a = b.find(x.account);
  if (a == nullptr || a->free + a->pending + a->stake == 0) { // keys cost nothing
    return fail(errc::invalid_argument, "{} has nothing here that could pay; give it credit first",
                short_name(x.account));
  }
  if (x.expires <= b.now) {
    return fail(errc::invalid_argument, "the voucher ends at {}, and it is {}", x.expires, b.now);
  }
  const std::vector<digest> its = b.vouchers.of_account(x.account);
  const auto is_over = [&](const digest& one) { return b.vouchers.find(one)->is_over(b.now); };
  const auto over = static_cast<std::size_t>(std::count_if(its.begin(), its.end(), is_over));
  if (its.size() - over >= limits::vouchers_max) {
    return fail(errc::busy, "{} has {} vouchers, as many as it may; revoke one, or wait",
                short_name(x.account), its.size() - over);
  }
  for (const digest& one : its) {
    if (is_over(one)) {
      b.vouchers.erase(one);
      note_changed(b, one);
    }
  }
  const digest name = voucher_id(x);
  voucher_record made;
  made.account = x.account;
  made.key = x.key;
  made.limit = x.limit;
  made.expires = x.expires;
  made.schedulers = x.schedulers;
  b.vouchers.put(name, std::move(made));
  note_changed(b, name);
  return {};
}

result<void> run(books& b, const revoke& x) {
  voucher_record* const v = b.vouchers.find(x.voucher);
  if (v == nullptr) {
    return fail(errc::not_found, "there is no voucher {}; it is over, or was never made",
                name_of(x.voucher));
  }
  if (v->account != x.account) {
    return fail(errc::invalid_argument, "the voucher {} is not of {}, who cannot revoke it",
                name_of(x.voucher), short_name(x.account));
  }
  if (v->revoked) {
    return fail(errc::invalid_argument, "the voucher {} was revoked before", name_of(x.voucher));
  }
  v->revoked = true;
  note_changed(b, x.voucher);
  return {};
}

result<void> check_budget(const books& b, const reserve& x, micro_credits quote) {
  const voucher_record* const v = b.vouchers.find(x.voucher);
  if (v == nullptr) {
    return fail(errc::over_limit, "there is no voucher {}; it is over, or was never made",
                name_of(x.voucher));
  }
  if (v->account != x.payer) {
    return fail(errc::invalid_argument, "the voucher {} is of {}, who pays, and not of {}",
                name_of(x.voucher), short_name(v->account), short_name(x.payer));
  }
  if (!v->may_reserve(x.scheduler)) {
    return fail(errc::invalid_argument, "the voucher {} does not name {} among its schedulers",
                name_of(x.voucher), short_name(x.scheduler));
  }
  if (v->revoked) {
    return fail(errc::over_limit,
                "the voucher {} was revoked; {} of its {} micro-credits are spent",
                name_of(x.voucher), v->spent, v->limit);
  }
  if (v->expires <= b.now) {
    return fail(errc::over_limit, "the voucher {} ended at {}; it is {}", name_of(x.voucher),
                v->expires, b.now);
  }
  if (quote > v->left()) {
    return fail(errc::over_limit,
                "this request may cost {} micro-credits, and the voucher {} has {} of its {} left "
                "until {} ({} are reserved by other requests); ask for fewer tokens",
                quote, name_of(x.voucher), v->left(), v->limit, v->expires, v->reserved);
  }
  return {};
}

} // namespace ovir::ledger
