#pragma once

#include <caf/actor_system.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <caf/spawn_options.hpp>

#include <utility>

namespace ovir {

/// Spawns an actor that computes for long or waits for the disk: on a thread of its own, but in a
/// simulation, where every actor shares the one thread.
template <class... Ts>
auto spawn_apart(caf::actor_system& system, Ts&&... args) {
  return system.scheduler().detaches_utility_actors()
             ? system.spawn<caf::detached>(std::forward<Ts>(args)...)
             : system.spawn(std::forward<Ts>(args)...);
}

} // namespace ovir
