#include "ledger/rules/account.hpp"

namespace ovir::ledger {

std::string_view to_string(purse p) noexcept {
  switch (p) {
  case purse::mint: return "mint";
  case purse::free: return "free";
  case purse::pending: return "pending";
  case purse::stake: return "stake";
  case purse::escrow: return "escrow";
  case purse::assurance: return "assurance";
  case purse::treasury: return "treasury";
  case purse::burn: return "burn";
  }
  return "unknown";
}

std::string_view to_string(posting_kind kind) noexcept {
  switch (kind) {
  case posting_kind::mint: return "mint";
  case posting_kind::transfer: return "transfer";
  case posting_kind::lock: return "lock";
  case posting_kind::unlock: return "unlock";
  case posting_kind::reserve: return "reserve";
  case posting_kind::accrue: return "accrue";
  case posting_kind::fee: return "fee";
  case posting_kind::cache_refund: return "cache_refund";
  case posting_kind::release: return "release";
  case posting_kind::settle: return "settle";
  case posting_kind::cancel: return "cancel";
  case posting_kind::expire: return "expire";
  case posting_kind::clawback: return "clawback";
  case posting_kind::slash: return "slash";
  case posting_kind::finder_fee: return "finder_fee";
  case posting_kind::burn: return "burn";
  case posting_kind::compensate: return "compensate";
  case posting_kind::withheld: return "withheld";
  case posting_kind::carriage: return "carriage";
  }
  return "unknown";
}

std::string_view reason_of(posting_kind kind) noexcept {
  switch (kind) {
  case posting_kind::mint: return "made by a mint key";
  case posting_kind::transfer: return "paid";
  case posting_kind::lock: return "put at stake";
  case posting_kind::unlock: return "back from stake";
  case posting_kind::reserve: return "set aside before the work";
  case posting_kind::accrue: return "earned, pending until the audit window is over";
  case posting_kind::fee: return "fee for audits";
  case posting_kind::cache_refund: return "refunded: it came from a cache";
  case posting_kind::release: return "the audit window is over";
  case posting_kind::settle: return "refunded: not used";
  case posting_kind::cancel: return "refunded: withdrawn before any work";
  case posting_kind::expire: return "refunded: the reservation's time was over";
  case posting_kind::clawback: return "taken back: wrong, or after a wrong window";
  case posting_kind::slash: return "stake lost by a conviction";
  case posting_kind::finder_fee: return "for finding a fault";
  case posting_kind::burn: return "lost by a conviction";
  case posting_kind::compensate: return "for honest work beside a convicted node, or an audit";
  case posting_kind::withheld: return "not paid: the work was late";
  case posting_kind::carriage: return "for what a relay carried";
  }
  return "unknown";
}

} // namespace ovir::ledger
