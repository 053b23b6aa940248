#pragma once

#include "actors/path/pathfinder_actor.hpp"

namespace ovir::actors {

/// Requests of this scheduler, but for `apart_from`, that have a stage at this node.
[[nodiscard]] std::uint32_t requests_on(const pathfinder_state& state, const node_id& node,
                                        const pathfinder_state::watched* apart_from);

/// What a lead here takes of a token, from an answer to the next step: drawing it and the like.
[[nodiscard]] double lead_seconds(const pathfinder_state& state, const digest& model,
                                  const pathfinder_state::watched* apart_from);
/// What is expected of requests that have a stage at one of these nodes, once another request
/// joined or left them: of at most limits::forecasts_renewed_max, but for `apart_from`.
void renew_forecasts(const pathfinder_state& state, const std::vector<pathfinder_state::place>& at,
                     const pathfinder_state::watched* apart_from, seen_speeds::time_point now);

/// Seconds for which a step of each stage is on its way, by the round trips that are known; nothing
/// where one of the nodes is unknown.
[[nodiscard]] std::vector<double> ways_on(const pathfinder_state& state, const layer_places& path);

/// A lead saw a step of its request, on the path that it still has.
void learn_speeds(pathfinder_state& state, const steps_seen& news, seen_speeds::time_point now);

} // namespace ovir::actors
