#pragma once

#include "actors/members/place_list.hpp"
#include "actors/reuse/cache_back.hpp"
#include "actors/reuse/cache_protocol.hpp"
#include "actors/reuse/claim_book.hpp"
#include "actors/reuse/kept_inputs.hpp"
#include "actors/reuse/wanted_block.hpp"
#include "messages/limits/blocks.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"
#include "storage/store/content_store.hpp"
#include "storage/store/memory_tier.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// What the cache holds, in memory and on the disk: outlives the actor in front of it. Without
/// CAF and locks: lookups and `keep` run on one thread at a time, the front, and `commit` on
/// another, the back, so that a lookup never waits for the disk to sync. The two share nothing but
/// the batches that are handed over.
class cache_tiers {
public:
  using bytes_pointer = storage::memory_tier::bytes_pointer;
  using content_kind = storage::content_kind;

  using write = cache_write;
  using batch = cache_batch;
  using committed = cache_committed;

  /// `store` may be null: then memory alone. `environment` outlives the tiers.
  /// `answers_are_claims`: other nodes compute what answers consist of, so an answer is used
  /// limits::claimed_uses_max times, and then computed again once.
  cache_tiers(std::size_t memory_bytes_max, std::unique_ptr<storage::content_store> store,
              storage::env& environment, bool answers_are_claims = false);

  // The front

  [[nodiscard]] units_found find(const find_units& wanted);
  void keep(const keep_units& units);
  /// These units do not fit what they were to be used with: they are not found again.
  void refuse(const find_units& which);
  /// The finished answer, or as many windows of its draws as there are.
  [[nodiscard]] request_entered find_answer(const enter_request& wanted);
  void keep(const keep_answer& answer);
  /// Beside blocks and answers: these push none of them out, no quarantine takes them, and they are
  /// not claimed.
  void keep(const keep_inputs& inputs);
  /// Likewise, in memory alone.
  void hold(const hold_inputs& inputs) { inputs_.hold(inputs); }
  /// The input that a statement names; null where it is not here. Its digest is not checked.
  [[nodiscard]] bytes_pointer input_at(const digest& name);
  /// The same for another node, which gets no block by this name.
  [[nodiscard]] bytes_pointer serve_input(const digest& name);
  /// What waits for the disk, and what lookups found there; none when there is nothing.
  [[nodiscard]] std::optional<batch> take_batch();
  /// The sentences for the log.
  [[nodiscard]] std::vector<std::string> take(committed done);
  [[nodiscard]] const cache_report& report();
  /// What a unit of this model takes to compute, in microseconds, as far as was seen; 0: nothing
  /// was.
  [[nodiscard]] std::uint64_t unit_cost_us(const digest& model) const;

  /// After a conviction: everything kept so far, in memory and on the disk, is found no more and
  /// removed, because entries do not name those behind whom they were computed. What requests of an
  /// earlier era compute is not kept either. `done` is called, here or in `take`, once the disk has
  /// forgotten it, too; never where it refuses. Returns the era that begins.
  std::uint64_t quarantine(std::function<void()> done);

  // For other nodes, and from them; the front as well.

  /// What windows [first, wanted.last) lack here, each up to where they can be used.
  [[nodiscard]] std::vector<wanted_window> missing(const find_units& wanted,
                                                   std::uint32_t first) const;
  /// Blocks that came from others. They are claims until somebody here computes them
  /// again, which is after limits::claimed_uses_max uses.
  void take_fetched(const unit_scope& scope, std::vector<fetched_block> blocks);
  /// Bytes of a block by its place, or of an input by its digest; null where it is not here. A
  /// block that was computed here is signed now, by the key of `sign_with`: only what leaves the
  /// node costs a signature.
  [[nodiscard]] bytes_pointer serve(const digest& place);
  /// Outlives the tiers; before anything is served.
  void sign_with(const secret_key& key) { key_ = &key; }
  /// Who computed the block at this place; empty: this node, or it is not here.
  [[nodiscard]] node_id author_of(const digest& place);
  /// Reads the whole index, so that what an earlier life kept is claimed. Before anything else, as
  /// it looks at the store itself.
  void claim_kept();
  /// The places of the blocks here, if they are others than at the last call.
  [[nodiscard]] std::optional<std::vector<digest>> take_places();
  /// Who computed blocks that computing again did not confirm, since the last call.
  [[nodiscard]] std::vector<node_id> take_refuted() { return claims_.take_refuted(); }

  // The back

  [[nodiscard]] committed commit(batch&& writes) { return back_.commit(std::move(writes)); }

private:
  struct found {
    bytes_pointer bytes;
    std::optional<storage::lookup_answer> on_disk; ///< what the store said, if it was asked

    [[nodiscard]] const storage::lookup_answer* disk_answer() const {
      return on_disk ? &*on_disk : nullptr;
    }
  };

  struct placed {
    content_kind kind{content_kind::kv};
    bytes_pointer bytes;
  };

  [[nodiscard]] std::optional<found> look_up(content_kind kind, const storage::content_owner& owner,
                                             const digest& key);
  [[nodiscard]] bool holds(const storage::content_owner& owner, const digest& key) const;
  [[nodiscard]] bool find_window(const find_units& wanted, std::uint32_t window,
                                 units_found& found);
  void put(write entry);
  /// The block or the input that the disk has under this key.
  [[nodiscard]] std::optional<placed> read_at(const digest& place);
  void spend_rest(const find_units& wanted, std::uint32_t window);
  [[nodiscard]] bool is_tainted(std::uint64_t era);
  void end_quarantine(bool removed);
  [[nodiscard]] bool disk_counts() const { return reader_ && !quarantines_; }
  void recheck(const digest& place, write& fresh);
  [[nodiscard]] bytes_pointer signed_here(const digest& place, const bytes_pointer& bytes);
  void learn_cost(const digest& model, std::uint64_t cost_us);
  void note(storage::lookup_answer answer);
  /// What was read cannot be what it was kept as.
  void distrust(const digest& place, const found& what);
  [[nodiscard]] std::optional<answer_record> answer_at(const storage::content_owner& owner,
                                                       const digest& key, request_entered& out);

  const secret_key* key_{nullptr}; ///< null: what is served is as it is
  storage::memory_tier memory_;
  std::map<digest, bytes_pointer> unwritten_; ///< in the queue or in a batch under way
  std::deque<write> queue_;
  std::size_t queue_bytes_{0};
  kept_inputs inputs_;
  std::vector<storage::lookup_answer> notes_;
  std::set<digest> doubted_; ///< damaged on the disk, until the store has dropped them
  std::set<digest> dropped_; ///< of these, the batch under way drops them
  std::optional<storage::store_reader> reader_;
  cache_report report_;
  std::map<digest, std::uint64_t> unit_costs_; ///< by model, at most limits::unit_costs_max
  place_list places_{limits::blocks_claimed_max};
  claim_book claims_;
  std::uint64_t era_{0};
  bool quarantines_{false};      ///< what is on the disk does not count until it is removed
  bool quarantine_taken_{false}; ///< the batch under way removes it
  std::vector<std::function<void()>> quarantine_done_;
  cache_back back_;
};

} // namespace ovir::actors
