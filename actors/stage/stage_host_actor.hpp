#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/runtime/step_meter.hpp"
#include "actors/stage/host_core.hpp"
#include "actors/stage/owned_actor.hpp"
#include "actors/stage/shard_core.hpp"
#include "messages/caf/events.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

class group_keeper;

struct host_tick {};

/// Starts a supervisor that keeps one shard for this bench alive, and tells the host of it
/// (`child_event` with this name).
using shard_launcher = std::function<void(caf::event_based_actor* self, const std::string& name,
                                          std::shared_ptr<stage_bench> bench)>;

/// Fetches layers from others and holds them; calls back once, on any thread.
using layer_fetcher =
    std::function<void(const digest& model, layer_range layers, std::function<void(result<void>)>)>;
/// Holds them no longer; calls back in the same way.
using layer_dropper = layer_fetcher;

/// Of layers that were fetched on order.
struct host_load_ended {
  digest model;
  layer_range layers;
  bool spare{false};
  result<void> outcome;
};
/// Of layers that `to` had dropped.
struct host_drop_ended {
  node_id to;
  digest model;
  layer_range layers;
  result<void> outcome;
};
/// The supervisor of a slot's shard is there.
struct host_slot_started {
  std::string name;
  caf::actor supervisor;
};

struct host_environment {
  node_id self;
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::function<void(load_changed)> report; ///< what this node's advert shall say
  shard_launcher launch;
  std::uint64_t memory_bytes{0}; ///< for weights, KV caches and kept boundaries
  const signing_desk* desk{nullptr};
  std::function<void(claimable_work)> claim{}; ///< as in `stage_bench`
  std::shared_ptr<cache_handle> cache{};       ///< null: nothing is reused or kept
  bool reuses{true};                           ///< as in `cache_access`
  layer_fetcher fetch{};                       ///< null: this node takes no orders to fetch
  layer_fetcher keep{};                        ///< on the disk alone; null: likewise
  layer_dropper drop{};                        ///< null: nor to drop
  group_keeper* groups{nullptr};               ///< that this node leads; null: none
};

/// Lets other nodes' leads use this node's segments: any range of layers within what is held
/// becomes a supervised shard when it is first asked for. It keeps the log of each request whose
/// first stage is here, and when the lead's node is gone asks another scheduler to go on with it.
struct host_state {
  /// A range of layers as a stage.
  struct slot {
    digest model;
    layer_range layers;
    std::shared_ptr<stage_bench> bench;
    model_catalog::entry keeps;          ///< its weights
    owned_actor supervisor;              ///< of the shard; empty until it is there
    shard_actor shard;                   ///< empty while it is being (re)started
    std::vector<order_received> waiting; ///< opens, at most limits::requests_active_max
    bool superseded{false};              ///< new sessions go to another one of these layers
  };
  /// Layers that schedulers ordered, and are not here yet.
  struct load {
    digest model;
    layer_range layers;
    bool spare{false};
    std::set<node_id> askers;
  };
  const char* name{"host"};
  host_environment environment;
  std::map<std::string, slot> slots;
  host_core core;
  std::vector<load> loads; ///< at most limits::loads_carried_max
  std::size_t retired{0};  ///< slots that went with their weights
  std::size_t grouped{0};  ///< slots whose layers groups compute, so far
  members_view members;
  std::shared_ptr<step_meter> meter{std::make_shared<step_meter>()}; ///< of all slots
};

using host_pointer = caf::stateful_actor<host_state>*;

[[nodiscard]] caf::behavior host_behavior(host_pointer self, host_environment environment);

/// What `ovir shell` shows; asked with `describe_host`.
struct describe_host {};
struct host_report {
  std::uint32_t sessions{0};
  std::uint64_t session_bytes{0};
  std::uint64_t weight_bytes{0};
  std::vector<std::string> shards;
  step_meter::work work;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::host_load_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::host_drop_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::host_slot_started)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::host_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_host)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::host_report)
