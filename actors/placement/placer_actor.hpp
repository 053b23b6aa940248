#pragma once

#include "actors/members/convicted_actor.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/members/standing.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/placement/placer_core.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/runtime/log.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

struct placer_tick {};
/// From this node's pathfinder: a request wants the model.
struct model_asked {
  digest model;
};
/// What `ovir shell placement` shows; asked with `describe_placement`.
struct describe_placement {};
struct placement_view {
  struct of_model {
    digest model;
    std::string name;
    node_id placer; ///< empty: no scheduler is there
    bool here{false};
    std::uint32_t positions{0};
    model_coverage aim; ///< empty copies: another node places it
  };
  std::vector<of_model> models;
  std::vector<placement_node> nodes; ///< empty: this node places no model
  std::vector<placement_node::holdings> aim;
  std::vector<placement_order> under_way;
  std::vector<placement_order> next; ///< would be given now
  std::size_t waiting{0};            ///< orders that wait for these
  bool calm{false};                  ///< second copies are made
};

struct placer_environment {
  node_id self;
  peers* links{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
};

/// Gives the cluster's placed nodes orders to fetch and drop layers, for the models whose placer
/// this scheduler is, and tells other schedulers which models its clients ask for. The shell around
/// `placer_core`.
struct placer_state {
  const char* name{"placer"};
  placer_environment environment;
  std::optional<placer_core> core;
  members_view members;
  standing trusted;
  std::map<digest, placer_core::time_point> told; ///< when others heard that it is asked for
};

using placer_pointer = caf::stateful_actor<placer_state>*;

[[nodiscard]] caf::behavior placer_behavior(placer_pointer self, placer_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::placer_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::model_asked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_placement)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::placement_view)
