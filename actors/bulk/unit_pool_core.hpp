#pragma once

#include "actors/bulk/work_unit.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <deque>
#include <unordered_map>
#include <variant>
#include <vector>

/// Which worker executes which units, as a value: events in, effects out. No CAF, no clock.
namespace ovir::actors {

/// A worker or a client for as long as it lives; a restarted one has a new key.
using unit_worker_key = strong_id<struct unit_worker_key_tag, std::uint64_t>;
using unit_client_key = strong_id<struct unit_client_key_tag, std::uint64_t>;

/// Hand the range to the worker.
struct assign_effect {
  unit_worker_key worker;
  unit_range range;
};
/// Tell the client.
struct batch_done_effect {
  unit_client_key client;
  batch_id batch;
  std::vector<unit_failure> failures;
};
using unit_pool_effect = std::variant<assign_effect, batch_done_effect>;

/// The books of a pool. Batches wait in order of arrival; a worker has at most
/// `limits::unit_worker_credit` of them, so that it never waits for the next one and little is to
/// be given to others when it dies. Of each batch one range at most is under way, and units finish
/// in order; so where a worker died says which units are done, and each finishes exactly once. The
/// unit that ended a worker and the rest of its batch go to the head of the queue. One that ends
/// `limits::unit_attempts_max` workers is given up as poison, and the rest goes on without it.
class unit_pool_core {
public:
  using effects = std::vector<unit_pool_effect>;

  struct totals {
    std::uint64_t units{0}; ///< finished, the failed ones too
    std::uint64_t wrong{0};
    std::uint64_t poison{0};
    std::uint64_t crashes{0}; ///< of workers, by a unit
  };

  /// `invalid_argument` for an empty batch, `over_limit` for one that is too large, `busy` when
  /// `limits::unit_batches_max` batches are unfinished.
  [[nodiscard]] result<effects> submit(unit_client_key client, batch_id id, shared_batch batch);

  [[nodiscard]] effects worker_joined(unit_worker_key worker);
  /// It ended, whatever the reason. What it had goes to others; no unit is to blame, because a unit
  /// that ends its worker is reported by `crashed`, before.
  [[nodiscard]] effects worker_left(unit_worker_key worker);

  /// What workers report. A ticket that is not theirs (any more) is ignored.
  [[nodiscard]] effects done(unit_worker_key worker, range_done report);
  [[nodiscard]] effects crashed(unit_worker_key worker, range_crashed report);

  /// Its batches are dropped; ranges under way run to their end unheard.
  void client_left(unit_client_key client);

  [[nodiscard]] std::size_t batches() const noexcept { return batches_.size(); }
  [[nodiscard]] std::size_t workers() const noexcept { return workers_.size(); }
  [[nodiscard]] const totals& counts() const noexcept { return totals_; }

private:
  using batch_key = std::uint64_t;

  struct open_batch {
    unit_client_key client;
    batch_id id;
    shared_batch batch;
    std::uint32_t next{0};    ///< the units before this one are finished
    std::uint32_t crashes{0}; ///< of that one
    bool wanted{true};        ///< by its client
    std::vector<unit_failure> failures;

    [[nodiscard]] std::uint32_t size() const {
      return static_cast<std::uint32_t>(batch->units.size());
    }
  };
  struct assignment {
    unit_ticket ticket;
    batch_key batch;
  };
  struct member {
    unit_worker_key key;
    std::vector<assignment> assigned; ///< oldest first
  };

  member* find(unit_worker_key key) noexcept;
  bool take(unit_worker_key key, unit_ticket ticket, batch_key& batch);
  void remove_worker(unit_worker_key key);
  void finish_before(open_batch& open, std::uint32_t end, std::vector<unit_failure>&& wrong);
  void finish_if_done(batch_key key, effects& out);
  void assign_waiting(effects& out);

  std::unordered_map<batch_key, open_batch> batches_;
  std::deque<batch_key> waiting_;
  std::vector<member> workers_;
  std::uint64_t next_batch_{1};
  std::uint64_t next_ticket_{1};
  totals totals_;
};

} // namespace ovir::actors
