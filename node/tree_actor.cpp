#include "actors/path/shard_directory_actor.hpp"
#include "actors/request/scheduler_actor.hpp"
#include "actors/stage/shard_actor.hpp"
#include "messages/caf/errors.hpp"
#include "node/tree.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::supervision {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds worker_shutdown{500};
constexpr std::chrono::milliseconds lead_start_wait{5'000};
constexpr std::chrono::seconds backoff_max{1};

/// A stage that was given up comes back after this many times the first back-off of a shard, and
/// may do so this often as a shard may crash: intensities multiply up the tree, so the top stays
/// patient and slow.
constexpr std::uint32_t group_backoff_factor = 20;

restart_policy shard_policy(const cluster_options& options) {
  return {options.restarts_max, options.restart_period, options.restart_backoff, backoff_max};
}

restart_policy group_policy(const cluster_options& options) {
  const auto first = options.restart_backoff * group_backoff_factor;
  const auto most = std::max<std::chrono::nanoseconds>(first, 5 * backoff_max);
  return {std::max<std::size_t>(options.restarts_max, 5), options.restart_period, first, most};
}

std::string stage_name(std::size_t index) { return fmt::format("stage-{}", index); }

child_spec shard_child(std::shared_ptr<actors::stage_bench> bench,
                       actors::compute_executor* executor) {
  child_spec spec;
  spec.rules = {"shard", restart_kind::permanent, worker_shutdown};
  spec.start = [bench = std::move(bench),
                executor](caf::actor_system& system) -> result<caf::actor> {
    return caf::actor_cast<caf::actor>(system.spawn(actors::shard_behavior, bench, executor));
  };
  return spec;
}

supervisor_spec stages_tree(const tree_parts& parts, const cluster_options& options,
                            const caf::actor& directory) {
  supervisor_spec spec{"stages", strategy::one_for_one, group_policy(options), {}, {}};
  for (std::size_t i = 0; i < parts.benches.size(); ++i) {
    const auto make = [bench = parts.benches[i], executor = parts.executor, options, directory,
                       name = stage_name(i)] {
      return supervisor_spec{name,
                             strategy::one_for_one,
                             shard_policy(options),
                             {shard_child(bench, executor)},
                             directory};
    };
    spec.children.push_back(
        supervisor_child({stage_name(i), restart_kind::permanent, limits::shutdown_wait}, make));
  }
  return spec;
}

/// Starts a lead below the supervisor of leads on behalf of the scheduler.
actors::lead_launcher launcher(caf::actor leads, actors::lead_environment environment) {
  return [leads = std::move(leads), environment = std::move(environment)](
             caf::event_based_actor* self, const actors::submit_request& command,
             std::function<void(result<caf::actor>)> done) {
    child_spec spec;
    spec.rules = {fmt::format("lead-{}", command.request.id.value), restart_kind::temporary,
                  worker_shutdown};
    spec.start = [command, environment](caf::actor_system& system) -> result<caf::actor> {
      return caf::actor_cast<caf::actor>(
          system.spawn(actors::lead_behavior, command.request, command.requester, environment));
    };
    self->request(leads, lead_start_wait, start_child{std::move(spec)})
        .then([done](caf::actor& lead) { done(std::move(lead)); },
              [done](const caf::error& reason) { done(from_caf(reason)); });
  };
}

actors::path_shape shape_of(const tree_parts& parts, const cluster_options& options) {
  const compute::model_config& config = parts.benches.front()->segment->config();
  actors::path_shape shape;
  shape.stages = static_cast<std::uint32_t>(parts.benches.size());
  shape.prefill_chunk = prefill_chunk_for(config, options.prefill_chunk);
  shape.hashed_layers = config.layers - 1;
  shape.context = config.context;
  shape.dim = config.dim;
  return shape;
}

supervisor_spec requests_tree(const tree_parts& parts, const cluster_options& options,
                              const caf::actor& directory) {
  const actors::lead_environment environment{shape_of(parts, options),
                                             parts.vocabulary,
                                             parts.env,
                                             parts.executor,
                                             caf::actor_cast<actors::path_provider>(directory),
                                             nullptr,
                                             nullptr,
                                             parts.desk,
                                             parts.cache};
  // The scheduler starts after the leads' supervisor and, one_for_all, never outlives it; both
  // start functions run on their supervisor's turn, so the slot needs no lock.
  auto leads = std::make_shared<caf::actor>();
  child_spec leads_child =
      supervisor_child({"leads", restart_kind::permanent, limits::shutdown_wait}, [] {
        return supervisor_spec{"leads", strategy::one_for_one, restart_policy{1, 1s}, {}, {}};
      });
  leads_child.start = [start = leads_child.start, leads](caf::actor_system& system) {
    auto handle = start(system);
    *leads = *handle;
    return handle;
  };
  child_spec scheduler;
  scheduler.rules = {"scheduler", restart_kind::permanent, worker_shutdown};
  scheduler.start = [leads, environment](caf::actor_system& system) -> result<caf::actor> {
    return system.spawn(actors::scheduler_behavior, launcher(*leads, environment));
  };
  return {"requests", strategy::one_for_all, shard_policy(options), {leads_child, scheduler}, {}};
}

child_spec cache_child(const actors::cache_access& cache, const actors::cache_environment& around) {
  child_spec spec;
  spec.rules = {"cache", restart_kind::permanent, worker_shutdown};
  spec.start = [handle = cache.handle, around](caf::actor_system& system) -> result<caf::actor> {
    const caf::actor made = system.spawn(actors::cache_behavior, around);
    handle->set(made);
    return made;
  };
  return spec;
}

} // namespace

supervisor_spec node_tree(const tree_parts& parts, const cluster_options& options) {
  std::vector<std::string> names;
  std::vector<layer_range> segments;
  for (std::size_t i = 0; i < parts.benches.size(); ++i) {
    names.push_back(stage_name(i));
    segments.push_back(parts.benches[i]->segment->layers());
  }
  auto directory = std::make_shared<caf::actor>();
  child_spec directory_child;
  directory_child.rules = {"directory", restart_kind::permanent, worker_shutdown};
  directory_child.start = [names, segments,
                           directory](caf::actor_system& system) -> result<caf::actor> {
    *directory =
        caf::actor_cast<caf::actor>(system.spawn(actors::directory_behavior, names, segments));
    return *directory;
  };
  child_spec stages = supervisor_child(
      {"stages", restart_kind::permanent, limits::shutdown_wait},
      [parts, options, directory] { return stages_tree(parts, options, *directory); });
  child_spec requests = supervisor_child(
      {"requests", restart_kind::permanent, limits::shutdown_wait},
      [parts, options, directory] { return requests_tree(parts, options, *directory); });
  supervisor_spec tree{"ovir",
                       strategy::rest_for_one,
                       group_policy(options),
                       {std::move(directory_child), std::move(stages), std::move(requests)},
                       {}};
  if (parts.cache.handle) {
    tree.children.push_back(
        supervisor_child({"reuse", restart_kind::permanent, limits::shutdown_wait},
                         [cache = parts.cache, around = parts.cache_around, options] {
                           return supervisor_spec{"reuse",
                                                  strategy::one_for_one,
                                                  shard_policy(options),
                                                  {cache_child(cache, around)},
                                                  {}};
                         }));
  }
  return tree;
}

std::uint32_t prefill_chunk_for(const compute::model_config& config, std::uint32_t wanted) {
  const std::size_t rows_in_frame =
      (limits::frame_bytes_max - frame_overhead_bytes) / (std::size_t{config.dim} * sizeof(float));
  const std::size_t widest = std::max({config.dim, config.q_dim(), config.ffn_dim});
  const std::size_t rows_in_memory = limits::activation_bytes_max / (widest * sizeof(float));
  return static_cast<std::uint32_t>(std::min({std::size_t{wanted}, rows_in_frame, rows_in_memory}));
}

std::vector<layer_range> cut(const std::vector<std::uint64_t>& bytes_per_layer,
                             std::uint64_t head_bytes, std::uint32_t stages) {
  const auto layers = static_cast<std::uint32_t>(bytes_per_layer.size());
  OVIR_CHECK(stages >= 1 && stages <= layers, stages, layers);
  std::uint64_t left = head_bytes;
  for (const std::uint64_t bytes : bytes_per_layer) {
    left += bytes;
  }
  std::vector<layer_range> ranges;
  layer_index first = 0;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    const std::uint32_t later = stages - stage - 1;
    layer_index last = first + 1;
    std::uint64_t taken = bytes_per_layer[first];
    // Take a layer while that brings the segment nearer to its share of what is left.
    const std::uint64_t share = left / (later + 1);
    while (last < layers - later && (later == 0 || taken + bytes_per_layer[last] / 2 < share)) {
      taken += bytes_per_layer[last];
      ++last;
    }
    ranges.push_back({first, last});
    left -= taken;
    first = last;
  }
  return ranges;
}

} // namespace ovir::supervision
