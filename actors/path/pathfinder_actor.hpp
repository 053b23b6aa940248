#pragma once

#include "actors/members/convicted_actor.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/members/standing.hpp"
#include "actors/path/attested_tiers.hpp"
#include "actors/path/fault_memory.hpp"
#include "actors/path/holder_index.hpp"
#include "actors/path/load_orders.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/path/observed_reputation.hpp"
#include "actors/path/path_forecasts.hpp"
#include "actors/path/planner.hpp"
#include "actors/path/seen_speeds.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/request/path.hpp"
#include "messages/request/privacy.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

struct paths_tick {};

/// The plan that a new request would get now; asked of the pathfinder. `positions` 0: what the
/// model promises.
struct describe_path {
  digest model;
  std::uint32_t positions{0};
  std::optional<ends_rule> ends{};   ///< which nodes may have its ends; none: any
  std::optional<tier_demand> tier{}; ///< of each of its nodes; none: any
  twin_rule twin{twin_rule::alone};  ///< of its run: as the pathfinder would give it
};
struct planned_stage {
  node_id node;
  std::string name;
  plan_stage stage;
  std::uint64_t ask_ppm{limits::ppm_one}; ///< of the model's rate
  std::uint64_t memory_bytes{0};          ///< that the node says it may use
};
struct path_description {
  result<plan> planned{error{}};
  std::vector<planned_stage> stages;
};

/// From who pays for requests: nodes that may not be paid for more work now, all of them. They are
/// planned only where nobody else can do the work.
struct admission_told {
  std::set<node_id> lacking;
};

/// Where the stages of a running request are.
struct locate_request {
  request_id request;
};
struct request_location {
  layer_places stages;
};

/// What this node saw of others on its paths, and what verifiers say of them.
struct describe_reputation {};
struct reputation_description {
  struct entry {
    reputation_view seen;
    std::string name;
    double correctness{1};    ///< `standing::trust`: 0.8 to 1.2; 1 where no verifier says anything
    double throughput{1};     ///< of what it says, by the best there is: above 0, at most 1
    double weight{1};         ///< of its speed in plans, all in all
    double weight_hurried{1}; ///< for requests in a hurry
  };
  std::vector<entry> nodes;
};

using pathfinder_actor = path_provider::extend<
    caf::reacts_to<members_changed>, caf::reacts_to<link_changed>, caf::reacts_to<paths_tick>,
    caf::reacts_to<node_convicted>, caf::reacts_to<standing_told>, caf::reacts_to<load_failed>,
    caf::reacts_to<admission_told>, caf::replies_to<describe_path>::with<path_description>,
    caf::replies_to<describe_reputation>::with<reputation_description>,
    caf::replies_to<locate_request>::with<request_location>>;

struct pathfinder_environment {
  node_id self;
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  /// Requests are paid for: a node that asks twice as much as another must be twice as fast.
  bool pays{false};
  std::uint64_t ask_max_ppm{limits::ledger_ask_ppm_max}; ///< who asks for more gets no work
  std::shared_ptr<path_forecasts> forecasts{};           ///< for the leads; null: nobody asks
  std::function<void(const digest&)> asked{};            ///< hears which models requests want
  /// By which attestations end; empty: no node counts as attested.
  std::function<std::uint64_t()> unix_seconds{};
};

/// Finds each request of this node a path through the cluster and mends it: what still works stays
/// where it is, with its KV cache; a lost stage goes to the best node that holds its layers. A
/// request without a path waits until a node comes, or one that was ordered to fetch the layers
/// that lack (docs/adr/0004-models.md). Nothing moves merely because something
/// faster joined: new requests use it. A node whose stage was at fault, or too slow, is left, and
/// planned behind others for a while (docs/adr/0009-paths.md).
struct pathfinder_state {
  struct place {
    node_id node;
    layer_range layers;
    shard_actor proxy;
  };
  struct watched {
    digest model;
    std::uint32_t positions{0};
    lead_actor lead;
    layer_places preferred;              ///< begun with, as far as it can be
    std::chrono::nanoseconds allowed{0}; ///< for a token, by its deadline; 0: it has none
    bool in_a_hurry{false};              ///< that is less than limits::hurry_factor times its plan
    std::vector<place> path;             ///< empty: none yet
    std::vector<double> on_ways;         ///< of each stage, as was expected when the path was given
    /// Stages that were told of the request and not yet to forget it.
    std::set<std::pair<node_id, layer_index>> opened;
    std::map<node_id, std::uint32_t> avoid; ///< node, and the tick from which it is asked again
    /// Proxies of its stages so far, and whose they were, but for those at fault: it may turn out
    /// later that what one stated was wrong. At most limits::hosts_per_request_max.
    std::vector<std::pair<shard_actor, node_id>> stages_made;
    bool broken{true}; ///< the path lacks a stage, or there is none
    bool told_missing{false};
    std::optional<std::uint32_t> lacking; ///< no path since this tick ...
    error missing;                        ///< ... and why
    std::string load_told;                ///< what its lead heard of layers to be fetched
    twin_rule twin{twin_rule::alone};
    std::set<node_id> led_to{};        ///< all nodes it had a stage on: the twin gets none of them
    bool had_strangers{false};         ///< among these: the twin gets none at all
    bool wary{false};                  ///< one of them failed it: it goes on without, where it can
    std::optional<ends_rule> ends{};   ///< which nodes may have its ends; none: any
    std::optional<tier_demand> tier{}; ///< of each of its nodes; none: any
    /// It has no path because none of the nodes that may have its ends holds them, or none that
    /// holds some layers has its tier.
    bool lacks_allowed{false};
  };
  const char* name{"paths"};
  pathfinder_environment environment;
  members_view members;
  holder_index holders; ///< of these members
  attested_tiers tiers;
  standing trusted;
  fault_memory faults;                            ///< of stages, over requests
  seen_speeds speeds;                             ///< of nodes, over requests
  observed_reputation reputation;                 ///< likewise
  std::map<digest, smoothed_median> lead_seconds; ///< of a token, alone; of each model
  std::set<node_id> lacking_admission;
  std::map<request_id, watched> requests;
  load_orders loads;
  std::uint32_t ticks{0};
  /// A `paths_tick` is under way: as long as a node is avoided, or a request has no path.
  bool ticking{false};
};

[[nodiscard]] pathfinder_actor::behavior_type
pathfinder_behavior(pathfinder_actor::stateful_pointer<pathfinder_state> self,
                    pathfinder_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::paths_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::admission_told)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_path)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_description)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_reputation)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::reputation_description)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::locate_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::request_location)
