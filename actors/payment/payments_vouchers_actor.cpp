#include "actors/payment/payments_parts_actor.hpp"

#include <caf/all.hpp>

#include <utility>

// Requests that API keys pay for by vouchers (docs/adr/0037-vouchers.md). What a voucher has left
// is for the ledger to say: here nothing is counted.

namespace ovir::actors {

namespace {

/// What makes a voucher useless here whatever is left of it.
result<void> check_usable(const budget_report& news, const budget_use& use) {
  if (!news.known) {
    return fail(errc::over_limit,
                "the ledger has no voucher {} for this API key; it is over, or was never made",
                use.voucher == digest{} ? std::string{} : to_hex(use.voucher).substr(0, 8));
  }
  const std::string name = to_hex(news.voucher).substr(0, 8);
  if (news.key != use.key) {
    return fail(errc::over_limit, "the voucher {} is for another API key", name);
  }
  return news.may_reserve
             ? result<void>{}
             : fail(errc::over_limit,
                    "the voucher {} does not name this node among its schedulers; ask another",
                    name);
}

} // namespace

ledger::ask_voucher question_about(const budget_use& use) {
  const bool by_key = use.voucher == digest{};
  return {by_key ? use.key : use.voucher, by_key};
}

void ask_for_budget(payments_pointer self, request_id request, payments_state::paid& p) {
  const auto id = self->state.next_id++;
  p.under_way = sent_command{id, {}, {}, {}, now_of(self)};
  say(self, id, question_about(*p.asked->request.budget));
  self->state.environment.journal->say(log_level::debug, request, "who pays for its API key?");
}

void take_budget(payments_pointer self, request_id request, const budget_report& news) {
  payments_state::paid& p = self->state.requests.at(request);
  if (!p.asked || !p.asked->request.budget || !p.reservation.empty()) {
    return; // this was not asked
  }
  p.under_way.reset();
  if (const auto usable = check_usable(news, *p.asked->request.budget); !usable) {
    return refuse_request(self, request, usable.error());
  }
  p.payer = news.account;
  p.voucher = news.voucher;
  plan_request(self, request, p);
}

} // namespace ovir::actors
