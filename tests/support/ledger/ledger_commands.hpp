#pragma once

#include "ledger/rules/state.hpp"

#include <cstdint>
#include <map>
#include <random>
#include <vector>

namespace ovir::test {

/// A stream of commands for a ledger, mostly sensible in its present state, some of them not: wrong
/// amounts, wrong times, old commands again, nonces out of order. The same seed gives the same
/// stream for the same states.
class ledger_commands {
public:
  explicit ledger_commands(std::uint64_t seed);

  [[nodiscard]] ledger::entry next(const ledger::state& s);

  /// The rules that its first command sets.
  [[nodiscard]] static ledger::genesis rules_for_test(std::uint64_t seed);
  [[nodiscard]] static node_id node(std::uint64_t number);

private:
  [[nodiscard]] ledger::command fresh(const ledger::state& s);
  [[nodiscard]] ledger::command make_reserve(const ledger::state& s);
  /// Now and then by a voucher.
  void redeem_one(const ledger::state& s, ledger::reserve& r);
  [[nodiscard]] ledger::command make_voucher();
  [[nodiscard]] ledger::command make_revoke(const ledger::state& s);
  /// Of a few streams of random nodes: the same parts come again, with other counts.
  [[nodiscard]] ledger::command make_carriage();
  [[nodiscard]] ledger::command make_accrue(const ledger::state& s);
  [[nodiscard]] ledger::command make_convict(const ledger::state& s);
  [[nodiscard]] ledger::command make_release(const ledger::state& s);
  [[nodiscard]] ledger::command make_reroute(const ledger::state& s);
  [[nodiscard]] ledger::command make_fee(const ledger::state& s);
  [[nodiscard]] ledger::command make_chain();
  [[nodiscard]] ledger::command make_link(const ledger::state& s);
  void divide(std::vector<ledger::window_share>& shares, std::uint64_t amount);
  [[nodiscard]] std::vector<ledger::window_share> cohort(const ledger::request_record& q,
                                                         std::uint64_t most);
  /// Of the request's path, or once in a while not.
  [[nodiscard]] node_id payee(const ledger::request_record& q);
  [[nodiscard]] digest statement();
  /// Who signs for a request: its scheduler, nobody, or once in a while another.
  [[nodiscard]] node_id driver(const ledger::request_record* q);

  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return random_() % n; }
  [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
  [[nodiscard]] node_id any_node() { return node(below(12)); }
  [[nodiscard]] std::uint64_t amount_near(std::uint64_t there);
  [[nodiscard]] std::uint64_t nonce();
  /// An escrow that exists, or once in a while one that does not.
  [[nodiscard]] ledger::escrow_id some_request(const ledger::state& s);

  std::mt19937_64 random_;
  std::uint64_t time_{1'700'000'000};
  std::uint64_t nonce_{0};
  ledger::genesis rules_;
  std::vector<ledger::entry> past_;
  std::map<digest, digest> behind_; ///< what link follows which
};

} // namespace ovir::test
