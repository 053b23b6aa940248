#pragma once

#include "ledger/rules/wide.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

/// Vouchers, and what was reserved and spent by each (docs/adr/0037-vouchers.md).
namespace ovir::ledger {

struct voucher_record {
  node_id account; ///< pays
  digest key;      ///< the API key's name in the ledger
  micro_credits limit{0};
  micro_credits reserved{0}; ///< in the escrows of its open requests
  /// Paid for its requests, less what came back; with `reserved` at most `limit`.
  micro_credits spent{0};
  std::uint64_t expires{0}; ///< seconds since 1970
  std::uint64_t open_requests{0};
  bool revoked{false};
  std::vector<node_id> schedulers; ///< who may reserve by it, ascending
  friend bool operator==(const voucher_record&, const voucher_record&) = default;

  [[nodiscard]] micro_credits left() const noexcept { return limit - spent - reserved; }
  [[nodiscard]] bool may_reserve(const node_id& scheduler) const;
  /// Nothing is reserved by it any more, and nothing is: it may be forgotten.
  [[nodiscard]] bool is_over(std::uint64_t now) const noexcept {
    return open_requests == 0 && (revoked || expires <= now);
  }
};

/// Every voucher that is not forgotten, by its name; and whose they are, and for which API key.
class voucher_book {
public:
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  [[nodiscard]] const std::map<digest, voucher_record>& all() const noexcept { return all_; }
  /// Null: none of this name. What it is of and for must not be changed.
  [[nodiscard]] voucher_record* find(const digest& name);
  [[nodiscard]] const voucher_record* find(const digest& name) const;
  /// Of an account, or for an API key, in ascending order.
  [[nodiscard]] std::vector<digest> of_account(const node_id& account) const;
  [[nodiscard]] std::vector<digest> for_key(const digest& key) const;

  void put(const digest& name, voucher_record v);
  void erase(const digest& name);

private:
  std::map<digest, voucher_record> all_;
  // What follows from these.
  std::set<std::pair<node_id, digest>> of_;
  std::set<std::pair<digest, digest>> for_;
};

} // namespace ovir::ledger
