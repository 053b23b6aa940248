#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "messages/caf/events.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>

#include <string>
#include <vector>

namespace ovir::actors {

/// The path of a request within one process: which actor serves a stage at the moment. It watches
/// the supervisors that hold one shard each; leads watch it, so that they learn of a restarted
/// shard without asking.
using directory_actor = path_provider::extend<caf::reacts_to<child_event>>;

struct directory_state {
  const char* name{"directory"};
  std::vector<std::string> supervisors; ///< by stage
  std::vector<path_stage> stages;       ///< a handle is empty while its shard is down
  std::vector<lead_actor> leads;
};

/// `supervisors` are the names of the supervisors that hold one shard each, in order of the stages,
/// and `segments` the layers of each.
[[nodiscard]] directory_actor::behavior_type
directory_behavior(directory_actor::stateful_pointer<directory_state> self,
                   std::vector<std::string> supervisors, const std::vector<layer_range>& segments);

} // namespace ovir::actors
