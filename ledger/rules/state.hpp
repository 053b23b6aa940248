#pragma once

#include "ledger/rules/books.hpp"
#include "ledger/rules/id_table.hpp"
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

namespace ovir {
class byte_reader;
}

namespace ovir::ledger {

enum class apply_outcome : std::uint8_t {
  applied,
  duplicate ///< was applied before, as the entry of this index: a retry
};
struct applied {
  apply_outcome how{apply_outcome::applied};
  std::uint64_t index{0};
};

/// Balances, requests and ids: a deterministic function of the entries applied. Either an entry is
/// applied whole, or it is refused and nothing has changed. Does not check signatures
/// (`attest.hpp`). One thread at a time. A copy is independent.
class state {
public:
  /// `seed` is chance for hash tables; it changes no result.
  explicit state(std::uint64_t seed) : books_(seed), ids_(seed) {}

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
  [[nodiscard]] const genesis& origin() const noexcept { return books_.origin; }
  [[nodiscard]] const totals& sums() const noexcept { return books_.sums; }
  /// Null: never heard of. Valid until the next entry is applied.
  [[nodiscard]] const account* find(const node_id& node) const noexcept {
    return books_.find(node);
  }
  /// Null: none, or closed with nothing pending.
  [[nodiscard]] const request_record* find_request(const escrow_id& request) const {
    return books_.find_request(request);
  }
  /// The index of the entry with this id.
  [[nodiscard]] std::optional<std::uint64_t> index_of(const digest& id) const noexcept;
  [[nodiscard]] micro_credits balance(const account_ref& ref) const { return books_.balance(ref); }

  /// What time alone makes possible at `now`: the end of an epoch, expirations, releases,
  /// unlockings; at most `most` (`limits::ledger_due_max`), the oldest first. Whoever drives the
  /// ledger sends them as its next commands; forgetting to do so delays, and loses nothing. An
  /// epoch is due by `epochs_by` where that is later: its end frees no credits.
  [[nodiscard]] std::vector<command> due(std::uint64_t now, std::size_t most,
                                         std::uint64_t epochs_by = 0) const {
    return books_.due(now, most, epochs_by);
  }

  /// Every account in ascending order.
  [[nodiscard]] std::vector<std::pair<node_id, const account*>> accounts() const {
    return books_.in_order();
  }
  [[nodiscard]] const std::map<escrow_id, request_record>& requests() const noexcept {
    return books_.requests;
  }
  /// Of a ledger without bonds that charges: whether nothing is known of it.
  [[nodiscard]] bool is_newcomer(const node_id& node) const { return books_.is_newcomer(node); }
  /// See `books::check_admission`.
  [[nodiscard]] result<void> check_admission(const node_id& node) const {
    return books_.check_admission(node);
  }
  [[nodiscard]] const voucher_book& vouchers() const noexcept { return books_.vouchers; }
  /// The current epoch, and the one before it, which is not final.
  [[nodiscard]] const epoch_state& epochs() const noexcept { return books_.epochs; }
  /// Accounts with pending windows.
  [[nodiscard]] const std::set<node_id>& earning() const noexcept { return books_.earning; }
  /// Verifiers that have hash chains.
  [[nodiscard]] const std::set<node_id>& committed() const noexcept { return books_.committed; }
  /// See `books::find_paid`.
  [[nodiscard]] std::optional<paid_place> find_paid(const window_share& share, const node_id& by,
                                                    const escrow_id& request) const {
    return books_.find_paid(share, by, request);
  }
  /// Whether its statement is paid to its node, for at least as much, by a window of another
  /// request than this one whose audit is not over: claims lead to no more then.
  [[nodiscard]] bool is_paid(const window_share& share, const escrow_id& request) const {
    return books_.find_paid(share, {}, request).has_value();
  }
  /// Windows whose audit is not over.
  [[nodiscard]] std::size_t pending_windows() const noexcept { return books_.releases.size(); }
  [[nodiscard]] std::uint64_t ids() const noexcept { return ids_.size(); }
  [[nodiscard]] const id_table& id_records() const noexcept { return ids_; }

  /// From now on it notes which accounts and requests change, for `take_touched`.
  void track() noexcept { books_.tracking = true; }
  /// What changed since `track` or the last call: each once, in order.
  [[nodiscard]] touched take_touched() { return books_.take_touched(); }

  /// Canonical bytes of all of it: equal for equal states, whatever the seeds.
  [[nodiscard]] std::vector<std::byte> snapshot() const;
  /// Inverse of `snapshot`. `malformed` for anything else.
  [[nodiscard]] static result<state> restore(std::span<const std::byte> bytes, std::uint64_t seed);

private:
  [[nodiscard]] result<void> step(const entry& e, std::vector<posting>& effects);
  [[nodiscard]] result<void> admit_action(const entry& e);
  void count_action(const entry& e, const node_id& signer, std::uint64_t nonce);
  [[nodiscard]] result<void> read_rules(byte_reader& r);
  [[nodiscard]] result<void> read_records(byte_reader& r);
  [[nodiscard]] result<void> read_ids(byte_reader& r);

  books books_;
  std::uint64_t entries_{0};
  std::uint64_t time_{0};
  id_table ids_;
  friend class state_loader;
};

} // namespace ovir::ledger
