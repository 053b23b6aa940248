#pragma once

#include "ledger/log/log.hpp"
#include "ledger/rules/state.hpp"
#include "messages/derived_index.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

/// What a ledger need not read its whole log for (docs/formats/ledger-index.md): balances, requests
/// and ids as they were at one size of the log, and every movement by account. All of it follows
/// from the log, and is made again from it when it is missing, damaged, older, or of another log.
namespace ovir::ledger {

/// One movement, as one of its two accounts sees it.
struct statement_line {
  std::uint64_t index{0}; ///< of the entry
  std::uint64_t time{0};  ///< of it, in seconds since 1970
  posting what;
  bool out{false}; ///< it left the account
  friend bool operator==(const statement_line&, const statement_line&) = default;
};

/// Where a page of a statement begins.
struct statement_place {
  std::uint64_t entry{0}; ///< the first entry of interest
  std::uint32_t skip{0};  ///< so many of its movements were seen
  bool newest{false};     ///< instead: the page that ends with the last movement
  friend bool operator==(const statement_place&, const statement_place&) = default;
};
struct statement_page {
  std::vector<statement_line> lines;
  bool more{false}; ///< there are others behind these; of the newest page, before
};

class log_index {
public:
  struct loaded {
    state at;
    log_checkpoint log;
    digest ledger; ///< the ledger's name
  };

  /// `store` must outlive it.
  explicit log_index(derived_index& store) : store_(&store) {}

  /// What the index says, if it is whole and its balances add up; nothing where there is none.
  /// An error: it is not to be believed, and `clear` begins a new one.
  [[nodiscard]] result<std::optional<loaded>> load(std::uint64_t seed);
  [[nodiscard]] result<void> clear();

  /// The movements of an entry that lasts, in the order of entries. Kept in memory until `absorb`.
  void note(std::uint64_t index, std::uint64_t time, std::span<const posting> effects);
  /// So many movements are kept; `absorb` is due at `limits::ledger_index_lines_max`.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  /// Writes the movements alone, where many entries are read before `absorb` is possible. They
  /// count once `absorb` was.
  [[nodiscard]] result<void> spill();
  /// Writes what was noted, and `s` and `log` as they are now: all or nothing.
  [[nodiscard]] result<void> absorb(state& s, const entry_log& log, const digest& ledger);

  /// Movements of an account in order, those that wait included.
  [[nodiscard]] result<std::vector<statement_line>> statement(const node_id& account) const;
  /// At most `lines_max` (>= 1) of these, reading no more records than hold them, and of the others
  /// the logarithm of their number.
  [[nodiscard]] result<statement_page>
  statement(const node_id& account, const statement_place& from, std::size_t lines_max) const;

private:
  struct noted {
    node_id account;
    statement_line line;
  };
  [[nodiscard]] result<void> add_history(derived_index::changes& out);
  void add_request(derived_index::changes& out, const escrow_id& id, const request_record* q);
  void add_epochs(derived_index::changes& out, const epoch_state& e);
  void add_log(derived_index::changes& out, const state& s, const log_checkpoint& at) const;
  [[nodiscard]] result<std::uint64_t> history_of(const node_id& account) const;
  [[nodiscard]] result<std::vector<statement_line>> history(const node_id& account,
                                                            std::uint64_t record) const;
  [[nodiscard]] result<std::uint64_t> record_with(const node_id& account, std::uint64_t records,
                                                  std::uint64_t entry) const;

  derived_index* store_;
  std::vector<noted> waiting_;
  std::map<node_id, std::uint64_t> histories_; ///< records of an account, spilt ones included
  // What is in the store already: entries by their number, requests by how many pieces they take.
  std::uint64_t entries_{0};
  std::map<escrow_id, std::uint32_t> slices_;
  std::size_t places_{0};
  std::size_t epoch_slices_{0};
};

} // namespace ovir::ledger
