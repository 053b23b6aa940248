#pragma once

#include "actors/path/pathfinder_actor.hpp"

namespace ovir::actors {

/// Requests of this scheduler, but for `apart_from`, that have a stage at this node.
[[nodiscard]] std::uint32_t requests_on(const pathfinder_state& state, const node_id& node,
                                        const pathfinder_state::watched* apart_from);

/// A lead saw a step of its request, on the path that it still has.
void learn_speeds(pathfinder_state& state, const steps_seen& news, seen_speeds::time_point now);

} // namespace ovir::actors
