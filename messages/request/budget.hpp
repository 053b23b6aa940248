#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <vector>

/// The budget of an API key, as the ledger keeps it (docs/adr/0037-vouchers.md). Amounts are
/// micro-credits, times seconds since 1970.
namespace ovir {

/// What is to pay for a request.
struct budget_use {
  digest key;     ///< the API key's name in the ledger
  digest voucher; ///< zero: the one that the ledger has for this key
  friend bool operator==(const budget_use&, const budget_use&) = default;
};

/// What is left of a voucher. Unknown: it is over and forgotten, or was never made.
struct budget_report {
  digest asked; ///< a voucher, or the name of an API key
  bool known{false};
  digest voucher;
  node_id account; ///< pays
  digest key;
  std::uint64_t limit{0};
  std::uint64_t reserved{0}; ///< for requests under way
  std::uint64_t spent{0};
  std::uint64_t expires{0};
  bool revoked{false};
  bool may_reserve{false}; ///< it names the asker among its schedulers
  std::uint64_t free{0};   ///< of the account
  std::uint64_t time{0};   ///< of the ledger, now
  friend bool operator==(const budget_report&, const budget_report&) = default;

  [[nodiscard]] std::uint64_t left() const noexcept { return limit - spent - reserved; }
};

/// What became of a request that was reserved by a voucher.
struct budget_request {
  digest request;         ///< its escrow
  std::uint64_t entry{0}; ///< of the reservation in the log, and its time
  std::uint64_t time{0};
  node_id scheduler;
  bool open{false};
  std::uint64_t prompt{0};     ///< tokens that were paid
  std::uint64_t completion{0}; ///< likewise
  std::uint64_t reserved{0};
  std::uint64_t spent{0}; ///< without what a conviction brought back later
  friend bool operator==(const budget_request&, const budget_request&) = default;
};

/// At most limits::voucher_page_max of them, in the order of their reservations; a page may have
/// none and others follow.
struct budget_statement {
  digest voucher;
  bool more{false};
  std::uint64_t next{0}; ///< entry to ask from, where there are more
  std::vector<budget_request> requests;
  friend bool operator==(const budget_statement&, const budget_statement&) = default;
};

} // namespace ovir
