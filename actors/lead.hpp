#pragma once

#include "actors/compute_executor.hpp"
#include "actors/lead_core.hpp"
#include "actors/shard_directory.hpp"
#include "compute/sampler.hpp"
#include "storage/env.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// What every lead of a node shares. All of it outlives the actor system but for the directory.
struct lead_environment {
  path_shape shape;
  const compute::tokenizer* vocabulary{nullptr};
  storage::env* env{nullptr};
  compute_executor* executor{nullptr};
  directory_actor directory;
};

/// The actor that drives one request: a shell around `lead_core`. It tells `requester` of each
/// piece of text and of the end, and then ends normally.
struct lead_state {
  using time_point = storage::env::time_point;

  const char* name{"lead"};
  std::optional<lead_core> core;
  lead_environment environment;
  request_id request;
  caf::actor requester;
  std::vector<shard_actor> shards; ///< by stage; empty while one is down
  std::shared_ptr<compute::sampler> sampler;
  frame_bytes logits;             ///< of the draw under way
  std::uint64_t progress{0};      ///< events handled
  std::uint64_t progress_seen{0}; ///< at the last tick
  time_point started;
  std::optional<time_point> first_frame;
  std::optional<time_point> first_token;
  time_point last_token;
};

[[nodiscard]] lead_actor::behavior_type lead_behavior(lead_actor::stateful_pointer<lead_state> self,
                                                      generation_request request,
                                                      caf::actor requester,
                                                      lead_environment environment);

} // namespace ovir::actors
