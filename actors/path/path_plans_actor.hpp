#pragma once

#include "actors/path/path_choice.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "messages/request/path.hpp"

#include <cstdint>
#include <optional>
#include <vector>

/// What a pathfinder gives the planner and the repair to choose from, and what it makes of their
/// answers. Functions of its state; they send nothing.
namespace ovir::actors {

/// What a request of this many positions wants of paths; 0: what the model promises.
[[nodiscard]] path_terms terms_of(const pathfinder_state& state, const catalog_model& model,
                                  std::uint32_t positions);

/// Those that are there, take work and hold layers of `runs` of the model, by key. `request`: it
/// avoids some; null: one that is yet to come. `apart_from`: no node of this one's path, or null.
[[nodiscard]] std::vector<path_candidate>
candidates_for(pathfinder_state& state, const path_terms& wanted,
               const std::vector<layer_range>& runs, const pathfinder_state::watched* request,
               fault_memory::time_point now, const pathfinder_state::watched* apart_from = nullptr);

/// Those of them that have leave: all but the strangers of an open cluster, which may be one
/// owner's under any number of keys (docs/adr/0049-open-clusters.md).
[[nodiscard]] std::vector<path_candidate> with_leave(const pathfinder_state& state,
                                                     const std::vector<path_candidate>& nodes);

/// The plan of a request that begins, around those who may not be paid for more work; with them
/// where there is no other way.
[[nodiscard]] result<chosen_path> plan_best(const pathfinder_state& state, const path_terms& wanted,
                                            const std::vector<path_candidate>& candidates);
/// The planner was told of speeds times trust, by prices, and of no lead; what it says of a token's
/// time is to be true again. `lead_seconds`: of a token.
void take_out_weights(chosen_path& best, double lead_seconds);

/// The path of a request: what works of the one it has, mended; else a new one. Of two runs
/// strangers compute for one, and where there is no other way: what both agree on is told. A
/// request that one of them failed goes on with none, where that can be.
[[nodiscard]] result<layer_places> best_path(pathfinder_state& state, const path_terms& wanted,
                                             const pathfinder_state::watched& request,
                                             fault_memory::time_point now,
                                             const pathfinder_state::watched* apart_from);

/// Of a request without a path: the error that says which layers no node holds that has its tier,
/// or which of its ends none of its own nodes holds; none where neither is in the way.
[[nodiscard]] std::optional<error> lacking_allowed_of(pathfinder_state& state,
                                                      const path_terms& wanted,
                                                      const pathfinder_state::watched& request,
                                                      fault_memory::time_point now);

/// Whether a member has the tier that the request demands. `request`: null, or one without: it has.
[[nodiscard]] bool has_tier(pathfinder_state& state, const member& m,
                            const pathfinder_state::watched* request);
/// Adds what counts of what a node of a request's path shows; nothing where no tier is demanded.
void add_attested(pathfinder_state& state, const pathfinder_state::watched& request,
                  const node_id& node, std::vector<attestation>& to);

/// Of one of two runs, whose twin has no node yet: `best` where the nodes that it leaves make a
/// whole path for the twin, else another path that leaves some. Both are of nodes with leave, or
/// this one alone is. `segment_missing` where there are no two such without a common node.
[[nodiscard]] result<layer_places> path_beside_twin(pathfinder_state& state,
                                                    const path_terms& wanted,
                                                    const pathfinder_state::watched& request,
                                                    layer_places best,
                                                    fault_memory::time_point now);

/// What is to be expected of a path for this request: by what was seen of its nodes, or else by
/// their own words.
[[nodiscard]] step_forecast forecast_of(const pathfinder_state& state, const catalog_model& model,
                                        const layer_places& path,
                                        const pathfinder_state::watched& request,
                                        fault_memory::time_point now);

} // namespace ovir::actors
