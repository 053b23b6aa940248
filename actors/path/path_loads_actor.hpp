#pragma once

#include "actors/path/pathfinder_actor.hpp"

#include <chrono>

/// A pathfinder's orders to fetch layers that nobody holds: the shell around `load_orders`.
namespace ovir::actors {

using pathfinder_pointer = pathfinder_actor::stateful_pointer<pathfinder_state>;

inline constexpr std::chrono::milliseconds paths_tick_interval{100};

/// At a tick: for requests that have been without a path for limits::load_patience.
void order_loads(pathfinder_pointer self);
/// A node will not hold what it was ordered to fetch.
void load_refused(pathfinder_pointer self, const load_failed& news);

} // namespace ovir::actors
