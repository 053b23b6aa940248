#include "ledger/rules/offer.hpp"

#include "ledger/rules/tariff.hpp"
#include "messages/limits/credit.hpp"

#include <vector>

namespace ovir::ledger {

result<micro_credits> check_offer(const reserve& offered, const offer_terms& terms) {
  OVIR_TRY(check_form(offered));
  if (offered.payer != terms.payer) {
    return fail(errc::invalid_argument, "the offer is for {} to pay, not for {}",
                short_name(offered.payer), short_name(terms.payer));
  }
  if (offered.voucher != digest{}) {
    return fail(errc::invalid_argument, "the offer is paid by a voucher, which nobody signs here");
  }
  if (offered.scheduler != terms.scheduler) {
    return fail(errc::invalid_argument, "the offer entrusts the credits to {}, not to {}",
                short_name(offered.scheduler), short_name(terms.scheduler));
  }
  if (terms.prompt && offered.prompt != *terms.prompt) {
    return fail(errc::invalid_argument, "the offer is for a prompt of {} tokens, and this has {}",
                offered.prompt, *terms.prompt);
  }
  if (offered.completion_max > terms.completion_max) {
    return fail(errc::invalid_argument, "the offer is for {} tokens, and {} were asked for",
                offered.completion_max, terms.completion_max);
  }
  if (offered.expires <= terms.now || offered.expires - terms.now > limits::offer_lasts_s_max) {
    return fail(
        errc::invalid_argument,
        "the offer would hold the credits until {} (seconds since 1970); it is {} here, and "
        "at most {} seconds are accepted",
        offered.expires, terms.now, limits::offer_lasts_s_max);
  }
  std::vector<priced_stage> priced;
  for (const path_stage& s : offered.stages) {
    priced.push_back({s.layers, s.ask_ppm});
  }
  OVIR_ASSIGN(const micro_credits rate, path_rate(offered.rate, priced));
  OVIR_ASSIGN(const micro_credits price, token_price(offered.prompt, offered.completion_max, rate));
  if (price > terms.most) {
    return fail(errc::over_limit,
                "this request may cost {} micro-credits ({} tokens at {}), more than the {} that "
                "may be paid; allow more, or ask for fewer tokens",
                price, offered.prompt + offered.completion_max, rate, terms.most);
  }
  return price;
}

} // namespace ovir::ledger
