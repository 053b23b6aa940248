#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "storage/store/content_store.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace ovir::actors {

/// Cache entries that other nodes computed: whose they are, how often they were used, and which are
/// to be computed again after limits::claimed_uses_max uses. By the place of the entry.
class claim_book {
public:
  /// `answers_are_claims`: other nodes compute what answers consist of.
  explicit claim_book(bool answers_are_claims) : answers_are_claims_(answers_are_claims) {}

  /// Whether it is unchecked: this node has not computed it.
  [[nodiscard]] bool is_claim(storage::content_kind kind, const storage::provenance& from) const;
  [[nodiscard]] bool full() const noexcept;
  /// A block that came from another. Precondition: not full.
  void add_fetched(const digest& place, const node_id& author);
  /// An answer that others computed a part of; forgotten where the book is full.
  void add_answer(const digest& place);
  /// Counts a use; `on_disk`: what the store said, null where it was not asked. True: it was used
  /// often enough, or cannot be counted, and is to be computed again.
  [[nodiscard]] bool use(const digest& place, storage::content_kind kind,
                         const storage::lookup_answer* on_disk);
  /// Computes it again with the next one, where it is a claim.
  void spend(const digest& place);
  [[nodiscard]] bool is_spent(const digest& place) const { return spent_.contains(place); }
  /// True once for a block that was fetched and not used yet.
  [[nodiscard]] bool take_fresh(const digest& place) { return fresh_.erase(place) > 0; }
  /// It was computed again. False: that was not asked for. `author`: whose claim it was, else
  /// empty.
  [[nodiscard]] bool take_spent(const digest& place, node_id& author);
  void refute(const node_id& author);
  /// Null where nothing is claimed there.
  [[nodiscard]] const node_id* author_of(const digest& place) const;
  void forget(const digest& place) { claimed_.erase(place); }
  void clear();
  /// Who computed blocks that computing again did not confirm, since the last call.
  [[nodiscard]] std::vector<node_id> take_refuted();

private:
  struct claimed {
    node_id author; ///< empty: of several
    std::uint32_t uses{0};
  };
  const bool answers_are_claims_;
  std::map<digest, claimed> claimed_; ///< at most limits::claims_kept_max
  std::set<digest> spent_;
  std::set<digest> fresh_;
  std::vector<node_id> refuted_;
};

} // namespace ovir::actors
