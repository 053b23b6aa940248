#pragma once

#include "actors/bulk/unit_pool_core.hpp"
#include "actors/bulk/unit_protocol_actor.hpp"

#include <caf/stateful_actor.hpp>

#include <unordered_map>

namespace ovir::actors {

/// The actor in front of a pool's workers: takes batches from clients, keeps the books in a
/// `unit_pool_core`, hands ranges to the workers that have announced themselves, and hears of their
/// end by its own monitors. Whether they come back is their supervisor's matter.
struct unit_dispatcher_state {
  const char* name{"unit_dispatcher"};
  unit_pool_core core;
  std::unordered_map<unit_worker_key::rep, unit_worker_actor> workers;
  std::unordered_map<unit_client_key::rep, unit_client_actor> clients;
};

[[nodiscard]] unit_dispatcher_actor::behavior_type
unit_dispatcher_behavior(unit_dispatcher_actor::stateful_pointer<unit_dispatcher_state> self);

} // namespace ovir::actors
