#pragma once

#include "learning/rounds/round_coordinator.hpp"
#include "learning/rounds/round_worker.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

/// A round in one process: workers, a coordinator, and all that leaves a worker.
namespace ovir::test {

/// SplitMix64, for what must be the same with the same seed.
[[nodiscard]] learning::random_source seeded_source(std::uint64_t seed);
[[nodiscard]] secret_key seeded_key(std::uint64_t seed);

struct round_spec {
  std::uint32_t members{5};
  std::uint32_t drop_outs{2};
  std::uint32_t colluders{0};
  std::uint32_t numbers{40};
  std::uint64_t variance{900};
  learning::round_mode mode{learning::round_mode::masked};
  std::uint64_t seed{1};
};

/// One that `check_task` accepts, of keys drawn from the seed.
class round_world {
public:
  explicit round_world(const round_spec& spec);

  [[nodiscard]] std::size_t size() const { return workers.size(); }
  [[nodiscard]] learning::round_offer offer() const;
  [[nodiscard]] learning::worker_terms terms() const;

  /// One exchange of every worker that `answers`: what the coordinator has for it (its advert at
  /// first) is answered, and the answer handed in.
  void exchange(const std::function<bool(std::size_t)>& answers);
  /// The sum of the noised updates of these.
  [[nodiscard]] std::vector<std::int64_t> sum_of(const std::vector<node_id>& those) const;
  [[nodiscard]] std::size_t place_of(const node_id& worker) const;

  secret_key coordinator_key;
  std::vector<secret_key> keys; ///< in the order of the task's members
  learning::round_task task;
  std::vector<std::vector<std::int64_t>> units;
  std::vector<std::unique_ptr<learning::round_worker>> workers;
  std::unique_ptr<learning::round_coordinator> coordinator;
  std::vector<std::vector<learning::letter>> sent; ///< by worker
};

} // namespace ovir::test
