#pragma once

#include "actors/request/lead_actor.hpp"
#include "actors/reuse/cache_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/stage/shard_core.hpp"
#include "node/local_cluster.hpp"
#include "supervision/supervisor.hpp"

#include <memory>
#include <vector>

/// The one file that names roles. A node's tree:
///
///     ovir                rest_for_one
///       directory         who serves which stage
///       stages            one_for_one
///         stage-0         one_for_one, a supervisor of its own per shard, so that one shard's
///           shard         crashes do not use up the intensity of another's
///         ...
///       requests          one_for_all
///         leads           one_for_one, temporary children, one per request
///         scheduler
///       reuse             one_for_one, where there is a cache: last, so that nobody restarts with
///         cache           it; without it, everything is computed
namespace ovir::supervision {

/// What the actors of a tree work with. All of it outlives the actor system.
struct tree_parts {
  std::vector<std::shared_ptr<actors::stage_bench>> benches; ///< by stage
  const compute::tokenizer* vocabulary{nullptr};
  storage::env* env{nullptr};
  actors::compute_executor* executor{nullptr};
  const actors::signing_desk* desk{nullptr}; ///< null: nothing is signed
  actors::cache_access cache{};              ///< no handle: there is no cache
  actors::cache_environment cache_around{};
};

/// Path of the scheduler for `find_child`, from the root.
inline constexpr std::string_view scheduler_path = "requests/scheduler";

[[nodiscard]] supervisor_spec node_tree(const tree_parts& parts, const cluster_options& options);

/// Positions per prefill step: at most `wanted`, and so few that a boundary fits a frame and no
/// activation of a step exceeds `limits::activation_bytes_max`. At least 1.
[[nodiscard]] std::uint32_t prefill_chunk_for(const compute::model_config& config,
                                              std::uint32_t wanted);

/// Cuts `layers` layers into `stages` contiguous segments whose weights, per layer
/// `bytes_per_layer` plus `head_bytes` for the last, differ as little as whole layers allow.
/// Precondition: 1 <= stages
/// <= layers.
[[nodiscard]] std::vector<layer_range> cut(const std::vector<std::uint64_t>& bytes_per_layer,
                                           std::uint64_t head_bytes, std::uint32_t stages);

} // namespace ovir::supervision
