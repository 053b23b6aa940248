#pragma once

#include "ledger/group/log_part.hpp"
#include "ledger/keeper/batch_order.hpp"
#include "ledger/keeper/keeper.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

/// A ledger of several keepers, as one of them has it.
namespace ovir::ledger {

/// Puts together what all keepers agree on, applies what they agreed on, and joins what they sign:
/// a head counts, and a command is promised, once most of them signed. How they agree is another's
/// (keeper_group.hpp).
///
/// One thread at a time; the keeper outlives it.
class joint_book {
public:
  explicit joint_book(keeper& own);

  /// Of what waits at the keeper as much as an order has room for, and what `due` says; how much
  /// that is, `due_count` says. Nothing where that is nothing, or while an order is out.
  [[nodiscard]] result<std::optional<batch_order>>
  put_together(std::uint64_t now, const due_allowance& due, std::size_t& due_count);
  /// Another keeper leads: what waits here is to be sent to that one, and so is what was asked with
  /// an order that is out, for it may not come.
  void take_back(std::uint64_t now, std::vector<keeper_answer>& answers);
  [[nodiscard]] bool is_out() const noexcept { return out_.has_value(); }
  /// Of what was asked: it waits for the next order.
  [[nodiscard]] bool waits() const noexcept { return !queue_.empty() || own_.waiting(); }

  // Some commands each keeper judges by what it examined or was told itself. Such a one is put into
  // no order before most keepers would admit it: an order that most refuse would hold up all.

  /// Those that lack words: names and entries.
  [[nodiscard]] std::vector<std::pair<digest, std::span<const std::byte>>> unheard() const;
  /// Another keeper would admit the one of this name.
  void hear(const node_id& from, const digest& name);
  /// What waited for words too long is refused.
  void take_refused(std::vector<keeper_answer>& answers);
  /// The name of such an entry, where this keeper would admit it.
  [[nodiscard]] result<digest> would_admit(std::span<const std::byte> entry) const;

  /// Whether this keeper agrees to an order of another: it is of this ledger, its time is about
  /// `now`, what is to be signed is, and the rest this keeper would admit itself. One that is void
  /// here changes nothing, so it is agreed to: a keeper that was away gets entries under heads that
  /// most signed, and orders afterwards.
  [[nodiscard]] result<void> check(const batch_order& order, std::uint64_t now);
  /// Makes last what was agreed on, and signs for it. An order behind another size is void. An
  /// error: ledger and book must be opened anew.
  [[nodiscard]] result<void> apply(const batch_order& order, std::vector<keeper_answer>& answers);

  /// What this keeper signed last, for the others.
  [[nodiscard]] const signed_head& own_head() { return own_.own_head(); }
  /// Signatures of other keepers, of which those that do not hold count nothing.
  void take(const signed_head& of, std::vector<keeper_answer>& answers);
  /// Size of the largest head that most keepers are known to have signed. It may be beyond this
  /// keeper's log: then entries are missing here.
  [[nodiscard]] std::uint64_t signed_size() const noexcept { return signed_size_; }
  /// Size of the last head that a keeper is known to have signed; 0: none is.
  [[nodiscard]] std::uint64_t signed_by(const node_id& keeper) const;
  /// Entries behind this keeper's log, of one whose head most signed. They are checked against it
  /// and last at once, so what was taken is never fetched again. `invalid_argument`,
  /// `digest_mismatch`: not these.
  [[nodiscard]] result<void> follow(const log_part& part, std::vector<keeper_answer>& answers);

private:
  struct out_order {
    batch_order what;
    std::vector<asked_command> asked; ///< its first entries
  };
  /// Its signatures hold: some 100 microseconds each, which is not spent twice.
  struct checked_order {
    batch_order what;
    std::vector<authentic_command> entries;
  };
  /// A command that most keepers must examine first.
  struct unheard_command {
    asked_command what;
    std::vector<std::byte> entry;
    std::set<node_id> admitted_by; ///< other keepers
    std::uint64_t since{0};
  };
  /// It lasts here, and waits for the signatures of others.
  struct later_promise {
    node_id to;
    std::uint64_t id{0};
    std::uint64_t index{0};
  };

  [[nodiscard]] const std::vector<node_id>& keepers() const;
  void set_apart(asked_command one, std::uint64_t now);
  void drop_unheard(std::uint64_t now);
  void note_checked(checked_order one);
  void sign_here(std::vector<keeper_answer>& answers);
  void join_known(signed_head& head) const;
  void promise(std::vector<keeper_answer>& answers);

  keeper& own_;
  std::deque<asked_command> queue_; ///< what had no room in the order before
  std::map<digest, unheard_command> unheard_;
  std::vector<keeper_answer> refused_; ///< what waited for words too long
  std::optional<out_order> out_;
  std::deque<checked_order> checked_; ///< the last ones, oldest first
  std::deque<signed_head> open_;      ///< of this keeper's log, ascending, not signed by most yet
  std::map<node_id, signed_head> others_; ///< what each other keeper signed last
  std::deque<later_promise> later_;       ///< ascending by index
  std::uint64_t signed_size_{0};
};

} // namespace ovir::ledger
