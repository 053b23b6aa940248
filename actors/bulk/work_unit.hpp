#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

/// Work in bulk: many small computations whose results are known or claimed, such as re-hashing
/// what a store holds. A unit is a value, not an actor; supervised workers execute units in
/// batches (unit_pool_core.hpp). Values; no CAF.
namespace ovir::actors {

/// One computation and the result it must have.
struct work_unit {
  std::uint64_t id{0}; ///< the client's own name for it; the pool only hands it back
  std::span<const std::byte> input;
  digest expected;
};

/// Immutable once submitted; `inputs` keeps alive what the units point to, unless the client does.
struct unit_batch {
  std::vector<work_unit> units; ///< 1 to `limits::unit_batch_max`
  std::shared_ptr<const void> inputs;
};
using shared_batch = std::shared_ptr<const unit_batch>;

/// What the workers of a pool do with a unit.
class unit_work {
public:
  virtual ~unit_work() = default;

  /// Computes one unit; `attempt` is 1 at first and grows with each time that this unit ended its
  /// worker. Called by several threads at once. It runs inside an actor's handler and cannot be
  /// interrupted, so a unit should take microseconds; longer computations belong on a
  /// `compute_executor`. An exception ends the worker: the supervisor starts another one, and the
  /// unit is tried again.
  [[nodiscard]] virtual digest run(const work_unit& unit, std::uint32_t attempt) const = 0;
};

/// The plain BLAKE3 digest of the input: checks stored bytes against what they should be.
class digest_work final : public unit_work {
public:
  [[nodiscard]] digest run(const work_unit& unit, std::uint32_t) const override {
    return hash_plain(unit.input);
  }
};

/// A unit that did not end with the result it must have.
struct unit_failure {
  enum class kind : std::uint8_t {
    wrong,  ///< it has the result `found` instead
    poison, ///< it ended its worker `limits::unit_attempts_max` times
  };
  std::uint32_t index{0}; ///< in its batch
  kind what{kind::wrong};
  digest found;
  friend bool operator==(const unit_failure&, const unit_failure&) = default;
};

/// Names a batch among those of its client; chosen by the client, never reused by it.
using batch_id = strong_id<struct batch_id_tag, std::uint64_t>;

/// Names one assignment of a range to a worker; never reused.
using unit_ticket = strong_id<struct unit_ticket_tag, std::uint64_t>;

/// To a worker: execute [first, last) of the batch. Only the first unit can have been tried before.
struct unit_range {
  unit_ticket ticket;
  shared_batch batch;
  std::uint32_t first{0};
  std::uint32_t last{0};
  std::uint32_t attempt{1}; ///< of the first unit
};
/// From a worker: the range is done.
struct range_done {
  unit_ticket ticket;
  std::vector<unit_failure> wrong; ///< by index
};
/// The last words of a worker: the units of the range before `index` are done, and that one ends
/// me.
struct range_crashed {
  unit_ticket ticket;
  std::uint32_t index{0};
  std::vector<unit_failure> wrong; ///< by index
};

} // namespace ovir::actors
