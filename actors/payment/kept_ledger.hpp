#pragma once

#include "actors/payment/journal_folder.hpp"
#include "ledger/audit/log_watch.hpp"
#include "ledger/group/keeper_group.hpp"
#include "ledger/keeper/keeper.hpp"
#include "ledger/keeper/ledger_clock.hpp"
#include "messages/derived_index.hpp"
#include "messages/durable_file.hpp"
#include "messages/limits/credit.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// Where a node keeps the ledger of its cluster, and how it begins one.
struct kept_ledger_options {
  std::string folder;
  std::optional<ledger::policy> rules; ///< for a new one; absent: there must be one
  std::vector<node_id> mint_keys;      ///< of a new one; empty: the node's own key
  const secret_key* key{nullptr};      ///< the keeper's
  storage::env* env{nullptr};
  std::function<role_set(const node_id&)> roles_of;
  operator_of operators;
  std::function<result<std::vector<std::byte>>(const node_id&)> conviction_of;
};

/// The time noted in a ledger's folder; nothing where none is.
[[nodiscard]] std::optional<std::uint64_t> kept_ledger_time(storage::env& environment,
                                                            const std::string& folder);
/// An operator's word that it is about this time, for whoever has the ledger open: good for one
/// use.
[[nodiscard]] result<void> keep_operators_word(storage::env& environment, const std::string& folder,
                                               std::uint64_t unix_s);
[[nodiscard]] std::optional<std::uint64_t> take_operators_word(storage::env& environment,
                                                               const std::string& folder);

/// A ledger's folder as a node has it: `log`, its `index.mdb`, the last signed `head`, its
/// `clock`, `evidence` of convictions, of one of several keepers the `agreement` of their group,
/// and the lock of who has it open, which `ovir ledger` respects (docs/formats/credit.md). One
/// thread at a time.
class kept_ledger {
public:
  /// The index is written once more.
  ~kept_ledger();
  kept_ledger(const kept_ledger&) = delete;
  kept_ledger& operator=(const kept_ledger&) = delete;

  /// Makes the ledger where there is none and rules are given. Errors name the folder and what to
  /// change: no ledger and no rules, another keeper's key, a damaged log, a policy that does not
  /// deter.
  [[nodiscard]] static result<std::unique_ptr<kept_ledger>> open(kept_ledger_options how);

  [[nodiscard]] std::string log_path() const { return how_.folder + "/log"; }
  /// Precondition: `usable()`.
  [[nodiscard]] ledger::keeper& keeper() noexcept { return *keeper_; }
  /// False while the log could not be read again.
  [[nodiscard]] bool usable() const noexcept { return keeper_.has_value(); }
  /// One of several keepers takes part in their group: from its journal, or, where that was lost,
  /// from what the others have. `send`: to another keeper. This outlives the group, which is there
  /// no longer when the log is read again.
  [[nodiscard]] result<std::unique_ptr<ledger::keeper_group>>
  join_group(std::function<void(const node_id&, std::vector<std::byte>)> send);
  /// `say`: whether claims that are known here lead to what another keeper proposes
  /// (`ledger::keeper_surroundings::claims_say`). Until then none do.
  void ask_of_claims(std::function<result<void>(const ledger::command&)> say) {
    claims_say_ = std::move(say);
  }
  /// Reads the log again, after a failed write: what lasts of it is in the log, nowhere else.
  /// Nothing waits at the keeper.
  [[nodiscard]] result<void> reopen();
  /// Writes the head beside the log, so that a log that lost its end is noticed.
  [[nodiscard]] result<void> keep_head();
  /// Entries under the last head that was kept.
  [[nodiscard]] std::uint64_t signed_entries() const noexcept { return head_kept_; }
  /// When nothing waits: writes the index behind the log every `limits::ledger_absorb_every`, and
  /// makes one that was damaged anew, from the log. An error is one of opening the log.
  [[nodiscard]] result<void> tend_index();
  /// What the log says about this node's own audits, since the last call.
  [[nodiscard]] std::optional<ledger::audit_news> take_audit_news() { return watch_->take_news(); }
  /// What opening met and mended, told once: a torn end, an index of no use.
  [[nodiscard]] std::vector<std::string> take_notes();

  /// The ledger's time, which goes on from its last entry or what was noted beside it.
  [[nodiscard]] ledger::ledger_clock& clock() noexcept { return *clock_; }
  /// The ledger's time now: that of its clock, which goes on from the last entry where other
  /// keepers are ahead.
  [[nodiscard]] std::uint64_t tell_time();
  /// Notes the ledger's time every `limits::ledger_clock_kept_every`, so that one with nothing to
  /// do is not taken for one that was off.
  [[nodiscard]] result<void> keep_time(std::uint64_t now);
  /// Takes an operator's word of what time it is, where there is one, and believes the wall clock
  /// if that is near. Whether it does so now.
  [[nodiscard]] bool take_operators_word();

private:
  explicit kept_ledger(kept_ledger_options how) : how_(std::move(how)) {}
  [[nodiscard]] result<void> begin();
  [[nodiscard]] ledger::clock_reading read_clocks() const;
  [[nodiscard]] result<std::optional<ledger::signed_head>> kept_head() const;
  [[nodiscard]] result<ledger::ledger> open_book();
  [[nodiscard]] result<void> keep_evidence(const digest& name,
                                           std::span<const std::byte> bytes) const;

  kept_ledger_options how_;
  std::function<result<void>(const ledger::command&)> claims_say_;
  std::unique_ptr<storage::held_lock> lock_;
  std::unique_ptr<durable_file> file_;
  std::unique_ptr<derived_index> index_; ///< null where the disk refused it
  std::optional<ledger::log_watch> watch_;
  std::optional<ledger::keeper> keeper_;
  std::optional<ledger::ledger_clock> clock_;
  std::unique_ptr<journal_folder> journal_; ///< of one of several keepers
  storage::env::time_point time_kept_{};
  std::uint64_t head_kept_{0};
  std::uint64_t absorbed_{0}; ///< entries
  storage::env::time_point absorbed_at_{};
  storage::env::time_point index_tried_{};
  std::chrono::seconds index_retry_{limits::ledger_index_retry};
  std::vector<std::string> notes_;
};

} // namespace ovir::actors
