#include "ledger/rules/rules.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr account_ref of_ledger(purse kind) { return {kind, {}}; }

error not_enough(const node_id& node, std::string_view purse, micro_credits has,
                 micro_credits wanted) {
  return fail(errc::over_limit, "{} has {} micro-credits {}, which is less than {}",
              short_name(node), has, purse, wanted);
}

} // namespace

result<void> run(books& b, const genesis& x) {
  b.origin = x;
  return {};
}

result<void> run(books& b, const mint& x) {
  if (!std::binary_search(b.origin.mint_keys.begin(), b.origin.mint_keys.end(), x.by)) {
    return fail(errc::invalid_argument, "{} is none of this ledger's mint keys", short_name(x.by));
  }
  if (x.amount > limits::ledger_supply_max - b.sums.minted) {
    return fail(errc::over_limit, "minting {} beside {} would exceed {}, all there may be",
                x.amount, b.sums.minted, limits::ledger_supply_max);
  }
  const account_ref to = x.target == mint_target::participant ? purse_of(purse::free, x.to)
                         : x.target == mint_target::assurance ? of_ledger(purse::assurance)
                                                              : of_ledger(purse::treasury);
  b.post(posting_kind::mint, of_ledger(purse::mint), to, x.amount);
  return {};
}

result<void> run(books& b, const transfer& x) {
  const account* const from = b.find(x.from);
  const micro_credits has = from == nullptr ? 0 : from->free;
  if (has < x.amount) {
    return not_enough(x.from, "free", has, x.amount);
  }
  b.post(posting_kind::transfer, purse_of(purse::free, x.from), purse_of(purse::free, x.to),
         x.amount);
  return {};
}

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
    return not_enough(s.receiver, "free", has, price);
  }
  b.post(posting_kind::carriage, purse_of(purse::free, s.receiver), purse_of(purse::free, s.relay),
         price);
  return {};
}

result<void> run(books& b, const lock& x) {
  const account* const a = b.find(x.account);
  if (a == nullptr || a->free < x.amount) {
    return not_enough(x.account, "free", a == nullptr ? 0 : a->free, x.amount);
  }
  if (a->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and may stake no more",
                short_name(x.account));
  }
  b.post(posting_kind::lock, purse_of(purse::free, x.account), purse_of(purse::stake, x.account),
         x.amount);
  return {};
}

result<void> run(books& b, const unlock& x) {
  const account* const found = b.find(x.account);
  if (found == nullptr || found->firm_stake() < x.amount) {
    return not_enough(x.account, "at stake and not called back",
                      found == nullptr ? 0 : found->firm_stake(), x.amount);
  }
  if (found->unlockings.size() >= limits::ledger_unlockings_max) {
    return fail(errc::busy, "{} is calling back stake {} times already; wait for one to end",
                short_name(x.account), found->unlockings.size());
  }
  const std::uint64_t due = b.now + b.origin.rules.unlock_delay_s;
  b.at(x.account).unlockings.push_back({x.amount, due, x.nonce});
  b.unlockings.emplace(due, x.account, x.nonce);
  return {};
}

result<void> run(books& b, const unlocked& x) {
  const account* const found = b.find(x.account);
  const auto is_it = [&](const unlocking& u) { return u.nonce == x.unlock_nonce; };
  if (found == nullptr || std::none_of(found->unlockings.begin(), found->unlockings.end(), is_it)) {
    return fail(errc::not_found, "{} called no stake back under the nonce {}",
                short_name(x.account), x.unlock_nonce);
  }
  account& a = b.at(x.account);
  const auto at_it = std::find_if(a.unlockings.begin(), a.unlockings.end(), is_it);
  if (at_it->due > b.now) {
    return fail(errc::invalid_argument, "this stake of {} can be lost until {}; it is {}",
                short_name(x.account), at_it->due, b.now);
  }
  const micro_credits amount = at_it->amount;
  b.unlockings.erase({at_it->due, x.account, at_it->nonce});
  a.unlockings.erase(at_it);
  b.post(posting_kind::unlock, purse_of(purse::stake, x.account), purse_of(purse::free, x.account),
         amount);
  return {};
}

} // namespace ovir::ledger
