#pragma once

#include "actors/runtime/compute_executor.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

namespace ovir::actors {

/// Runs jobs as messages of one actor, in the order posted, so that under the deterministic
/// scheduler a computation is an event like any other and its end can fall anywhere.
class simulated_executor final : public compute_executor {
public:
  explicit simulated_executor(caf::actor_system& system);
  ~simulated_executor() override;
  simulated_executor(const simulated_executor&) = delete;
  simulated_executor& operator=(const simulated_executor&) = delete;

  void post(job work) override;

private:
  caf::actor worker_;
};

} // namespace ovir::actors
