#pragma once

#include "actors/path/pathfinder_actor.hpp"
#include "messages/request/path.hpp"

#include <cstdint>
#include <vector>

/// What a pathfinder gives the planner and the repair to choose from, and what it makes of their
/// answers. Functions of its state; they send nothing.
namespace ovir::actors {

/// A member that can compute stages of a model now: one for each range of layers it holds.
struct path_candidate {
  const member* who{nullptr}; ///< in the state's members
  layer_range held;
  std::uint64_t memory{0}; ///< its share of what the member has free
  double trust{1};         ///< its speed counts as so many times what it measured
  double price{1};         ///< and as so many times less
  std::uint32_t faults{0}; ///< its level in the state's memory of faults
};

/// Those that are there, take work and hold layers of this model, and that the request does not
/// avoid: the members' own words about layers outside the model count for nothing. `request` null:
/// one that is yet to come. `apart_from`: no node of this one's path, or null.
[[nodiscard]] std::vector<path_candidate>
candidates_for(const pathfinder_state& state, const catalog_model& model,
               const pathfinder_state::watched* request, fault_memory::time_point now,
               const pathfinder_state::watched* apart_from = nullptr);

/// A plan, and whom its stages' numbers mean.
struct chosen_path {
  plan planned;
  std::vector<path_candidate> among;
};

/// The plan of a request that begins: over nodes with the least faults with which there is one.
[[nodiscard]] result<chosen_path> plan_best(const pathfinder_state& state,
                                            const catalog_model& model,
                                            const std::vector<path_candidate>& nodes,
                                            std::uint32_t positions);
/// The planner was told of speeds divided by prices; what it says of times is to be true again.
void take_out_prices(chosen_path& best);

/// The path of a request: what works of the one it has, mended; else a new one.
[[nodiscard]] result<layer_places> best_path(const pathfinder_state& state,
                                             const catalog_model& model,
                                             const std::vector<path_candidate>& nodes,
                                             const pathfinder_state::watched& request);

/// What its nodes' own words make one expect of a path.
[[nodiscard]] step_forecast forecast_of(const std::vector<path_candidate>& nodes,
                                        const catalog_model& model, const layer_places& path);

} // namespace ovir::actors
