#include "ledger/rules/rules.hpp"
#include "ledger/rules/tariff.hpp"

namespace ovir::ledger {

/// The id of the command allows each part once. Who received pays, for its signature alone shows
/// that something was carried: what another had to pay could be signed for by two that are one.
result<void> run(books& b, const carriage& x) {
  const counted_stream& s = x.carried.what;
  const micro_credits price =
      carriage_price(bytes_of_part(s.bytes, x.carried.part), b.origin.rules.relay_fee);
  if (price == 0) {
    return fail(errc::invalid_argument,
                "{} bytes over a relay cost nothing here, at {} micro-credits for a MiB",
                bytes_of_part(s.bytes, x.carried.part), b.origin.rules.relay_fee);
  }
  const account* const from = b.find(s.receiver);
  const micro_credits has = from == nullptr ? 0 : from->free;
  if (has < price) {
    return fail(errc::over_limit,
                "{} has {} micro-credits free, and owes the relay {} for what it received",
                short_name(s.receiver), has, price);
  }
  b.post(posting_kind::carriage, purse_of(purse::free, s.receiver), purse_of(purse::free, s.relay),
         price);
  return {};
}

} // namespace ovir::ledger
