#pragma once

#include "ledger/rules/account.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/id_table.hpp"
#include "ledger/rules/key_table.hpp"
#include "ledger/rules/policy.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::ledger {

class byte_reader;

enum class apply_outcome : std::uint8_t {
  applied,
  duplicate ///< was applied before, as the entry of this index: a retry
};
struct applied {
  apply_outcome how{apply_outcome::applied};
  std::uint64_t index{0};
};

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
};

/// Balances, requests and ids: a deterministic function of the entries applied. Either an entry is
/// applied whole, or it is refused and nothing has changed. Does not check signatures
/// (`attest.hpp`). One thread at a time. A copy is independent.
class state {
public:
  /// `seed` is chance for hash tables; it changes no result.
  explicit state(std::uint64_t seed) : accounts_(seed), ids_(seed) {}

  /// Applies the entry that would have `index`. `bytes` are its canonical ones (`encode`).
  /// Movements are appended to `effects`, in order. Errors: `invalid_argument` (a rule is broken;
  /// the sentence says which), `not_found` (no such request), `over_limit`, `busy` (too many
  /// actions this minute).
  [[nodiscard]] result<applied> apply(const entry& e, std::span<const std::byte> bytes,
                                      std::uint64_t index, std::vector<posting>& effects);

  /// The same, of an entry whose `id_of` is known; `expect` some entries ahead makes it faster.
  [[nodiscard]] result<applied> apply(const entry& e, std::span<const std::byte> bytes,
                                      std::uint64_t index, std::vector<posting>& effects,
                                      const digest& id);
  void expect(const digest& id) const noexcept { ids_.expect(id); }

  /// Entries that were applied.
  [[nodiscard]] std::uint64_t entries() const noexcept { return entries_; }
  /// Of the last entry.
  [[nodiscard]] std::uint64_t last_time() const noexcept { return time_; }
  /// The rules; only after the genesis entry.
  [[nodiscard]] const genesis& origin() const noexcept { return origin_; }
  [[nodiscard]] const totals& sums() const noexcept { return totals_; }
  /// Null: never heard of. Valid until the next entry is applied.
  [[nodiscard]] const account* find(const node_id& node) const noexcept;
  /// Null: none, or closed with nothing pending.
  [[nodiscard]] const request_record* find_request(const escrow_id& request) const;
  /// The index of the entry with this id.
  [[nodiscard]] std::optional<std::uint64_t> index_of(const digest& id) const noexcept;
  [[nodiscard]] micro_credits balance(const account_ref& ref) const;

  /// What time alone makes possible at `now`: expirations, releases, unlockings; at most `most`
  /// (`limits::ledger_due_max`), the oldest first. Whoever drives the ledger sends them as its next
  /// commands; forgetting to do so delays, and loses nothing.
  [[nodiscard]] std::vector<command> due(std::uint64_t now, std::size_t most) const;

  /// Every account in ascending order.
  [[nodiscard]] std::vector<std::pair<node_id, const account*>> accounts() const;
  [[nodiscard]] const std::map<escrow_id, request_record>& requests() const noexcept {
    return requests_;
  }
  /// Windows whose audit is not over.
  [[nodiscard]] std::size_t pending_windows() const noexcept { return releases_.size(); }
  [[nodiscard]] std::uint64_t ids() const noexcept { return ids_.size(); }
  [[nodiscard]] const id_table& id_records() const noexcept { return ids_; }

  /// From now on it notes which accounts and requests change, for `take_touched`.
  void track() noexcept { tracking_ = true; }
  /// What changed since `track` or the last call: each once, in order.
  [[nodiscard]] touched take_touched();

  /// Canonical bytes of all of it: equal for equal states, whatever the seeds.
  [[nodiscard]] std::vector<std::byte> snapshot() const;
  /// Inverse of `snapshot`. `malformed` for anything else.
  [[nodiscard]] static result<state> restore(std::span<const std::byte> bytes, std::uint64_t seed);

private:
  struct division; // of an accrual: what goes where

  [[nodiscard]] result<void> step(const entry& e, std::vector<posting>& effects);
  [[nodiscard]] result<void> admit_action(const entry& e);
  void count_action(const entry& e, const node_id& signer, std::uint64_t nonce);

  [[nodiscard]] result<void> run(const genesis& x);
  [[nodiscard]] result<void> run(const mint& x);
  [[nodiscard]] result<void> run(const transfer& x);
  [[nodiscard]] result<void> run(const lock& x);
  [[nodiscard]] result<void> run(const unlock& x);
  [[nodiscard]] result<void> run(const unlocked& x);
  [[nodiscard]] result<void> run(const reserve& x);
  [[nodiscard]] result<void> run(const accrue& x);
  [[nodiscard]] result<void> run(const release& x);
  [[nodiscard]] result<void> run(const settle& x);
  [[nodiscard]] result<void> run(const cancel& x);
  [[nodiscard]] result<void> run(const expire& x);
  [[nodiscard]] result<void> run(const convict& x);
  [[nodiscard]] result<void> run(const compensate& x);
  [[nodiscard]] result<void> run(const reroute& x);

  [[nodiscard]] result<request_record*> open_request(const escrow_id& request);
  [[nodiscard]] result<division> divide(const accrue& x, const request_record& q) const;
  [[nodiscard]] result<void> check_shares(const request_record& q,
                                          const std::vector<window_share>& shares,
                                          micro_credits amount, std::string_view what) const;
  static void name_payees(request_record& q, const std::vector<path_stage>& stages);
  void close(const escrow_id& request, request_record& q, posting_kind why);
  void forget_if_done(const escrow_id& request);
  [[nodiscard]] static micro_credits assured(const request_record& q);
  [[nodiscard]] result<void> check_audited(const compensate& x, const request_record& q) const;
  void add_window(const escrow_id& request, request_record& q, std::uint32_t number,
                  window_record record);
  void end_window(const escrow_id& request, request_record& q, std::uint32_t number,
                  window_phase phase);

  void note_touched(const entry& e);
  void note_due(const escrow_id& id, const request_record& q);
  [[nodiscard]] result<void> read_rules(byte_reader& r);
  [[nodiscard]] result<void> read_records(byte_reader& r);
  [[nodiscard]] result<void> read_ids(byte_reader& r);

  /// The only place where balances change.
  void post(posting_kind kind, const account_ref& from, const account_ref& to,
            micro_credits amount);
  [[nodiscard]] micro_credits* slot_of(const account_ref& ref);
  account& at(const node_id& node) {
    if (tracking_) {
      touched_.accounts.push_back(node);
    }
    return accounts_[node.key];
  }

  // Of the entry being applied.
  std::vector<posting>* effects_{nullptr};
  escrow_id about_;
  std::uint32_t about_window_{0};
  std::uint64_t now_{0};

  genesis origin_;
  std::uint64_t entries_{0};
  std::uint64_t time_{0};
  totals totals_;
  key_table<account> accounts_;
  std::map<escrow_id, request_record> requests_;
  id_table ids_;
  // What follows from the above: what becomes due when.
  std::set<std::pair<std::uint64_t, escrow_id>> expirations_;
  std::set<std::tuple<std::uint64_t, escrow_id, std::uint32_t>> releases_;
  std::set<std::tuple<std::uint64_t, node_id, std::uint64_t>> unlockings_;
  // Not part of the state: what changed in it.
  bool tracking_{false};
  touched touched_;
  friend class conviction;
  friend class state_loader;
};

} // namespace ovir::ledger
