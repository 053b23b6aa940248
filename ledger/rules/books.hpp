#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/epochs.hpp"
#include "ledger/rules/key_table.hpp"
#include "ledger/rules/voucher_book.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::ledger {

/// What the ledger itself owns.
struct totals {
  micro_credits minted{0};
  micro_credits assurance{0};
  micro_credits treasury{0};
  micro_credits burnt{0};
  friend bool operator==(const totals&, const totals&) = default;
};

/// Accounts and requests that changed.
struct touched {
  std::vector<node_id> accounts;
  std::vector<escrow_id> requests;
  std::vector<digest> vouchers; ///< those that are gone, too
};

/// A window that pays for a statement.
struct paid_place {
  escrow_id request;
  std::uint32_t window{0};
};

/// Balances and requests, and what becomes due when: what rules (`rules.hpp`) read and change. A
/// rule first checks everything and then changes; money moves by `post` alone.
struct books {
  /// `seed` is chance for hash tables; it changes no result.
  explicit books(std::uint64_t seed) : accounts(seed) {}

  /// Null: never heard of. Valid until the next entry is applied.
  [[nodiscard]] const account* find(const node_id& node) const noexcept;
  /// Null: none, or closed with nothing pending.
  [[nodiscard]] const request_record* find_request(const escrow_id& request) const;
  [[nodiscard]] micro_credits balance(const account_ref& ref) const;
  /// Every account in ascending order.
  [[nodiscard]] std::vector<std::pair<node_id, const account*>> in_order() const;
  /// See `state::due`.
  [[nodiscard]] std::vector<command> due(std::uint64_t time, std::size_t most,
                                         std::uint64_t epochs_by) const;

  // For rules.
  /// Makes the account where there is none.
  account& at(const node_id& node) {
    if (tracking) {
      changed.accounts.push_back(node);
    }
    return accounts[node.key];
  }
  /// The only place where balances change.
  void post(posting_kind kind, const account_ref& from, const account_ref& to,
            micro_credits amount);
  /// A request that is not closed, from now on the one that postings are about.
  [[nodiscard]] result<request_record*> open_request(const escrow_id& request);
  /// The same, for `what` its driver alone may do, and `by` signs; empty: what stages claim does.
  [[nodiscard]] result<request_record*> driven_request(const escrow_id& request, const node_id& by,
                                                       command_kind what);
  void close(const escrow_id& request, request_record& q, posting_kind why);
  /// Its driver ends it: what is held waits limits::ledger_claims_wait_s for what stages claim.
  void end(const escrow_id& request, request_record& q, posting_kind why);
  /// A request begins or ends that a voucher may pay for.
  void note_open(const request_record& q, bool begins);
  /// Of a ledger without bonds that charges: whether nothing is known of this one.
  [[nodiscard]] bool is_newcomer(const node_id& node) const;
  /// Whether a node may be planned into a path (`check_server`), within what newcomers may have
  /// together: `newcomer_pool_ppm` of all pending windows, or as many as one of them. `busy` where
  /// they have it.
  [[nodiscard]] result<void> check_admission(const node_id& node) const;
  void forget_if_done(const escrow_id& request);
  void add_window(const escrow_id& request, request_record& q, std::uint32_t number,
                  window_record record);
  void end_window(const escrow_id& request, request_record& q, std::uint32_t number,
                  window_phase phase);

  /// Where a statement is paid whose audit is not over: `by` signs for another payment of it to
  /// `share.node`. Empty: claims lead to that, and count what was paid less for as not paid. A
  /// scheduler could else close its stages' claims with a reservation that costs nothing. Nor do
  /// they count what their own request `of` paid, of which each token is paid once: a scheduler
  /// could else pay a window for one token.
  [[nodiscard]] std::optional<paid_place> find_paid(const window_share& share, const node_id& by,
                                                    const escrow_id& of) const;

  /// An entry was applied: it counts for the epoch.
  void count_entry(const command& c);
  /// Of a request that was read: what becomes due when.
  void note_due(const escrow_id& id, const request_record& q);
  void note_touched(const entry& e);
  /// What changed since the last call: each once, in order.
  [[nodiscard]] touched take_touched();

  // Of the entry being applied.
  std::vector<posting>* effects{nullptr};
  escrow_id about;
  std::uint32_t about_window{0};
  std::uint64_t now{0};

  genesis origin;
  totals sums;
  key_table<account> accounts;
  std::map<escrow_id, request_record> requests;
  voucher_book vouchers;
  epoch_state epochs;
  // What follows from the above: what becomes due when.
  std::set<std::pair<std::uint64_t, escrow_id>> expirations;
  std::set<std::tuple<std::uint64_t, escrow_id, std::uint32_t>> releases;
  std::set<std::tuple<std::uint64_t, node_id, std::uint64_t>> unlockings;
  std::set<node_id> committed; ///< accounts with hash chains
  std::set<node_id> earning;   ///< accounts with pending windows
  /// What shares of pending windows pay for: statement, payee, request, window. As many as these.
  std::set<std::tuple<digest, node_id, escrow_id, std::uint32_t>> paid;
  // Not part of the state: what changed in it.
  bool tracking{false};
  touched changed;

private:
  [[nodiscard]] micro_credits* slot_of(const account_ref& ref);
  void note_paid(const escrow_id& request, std::uint32_t window, const window_record& w);
  void charge_voucher(posting_kind kind, const account_ref& from, const account_ref& to,
                      micro_credits amount);
};

} // namespace ovir::ledger
