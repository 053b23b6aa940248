#pragma once

#include "actors/protocol.hpp"
#include "messages/caf/events.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>

#include <string>
#include <vector>

namespace ovir::actors {

/// Asks to be told of every shard: those that live now, and each change.
struct watch_shards {
  lead_actor lead;
};

/// Knows which actor serves a stage at the moment. It watches the supervisors that hold one shard
/// each; leads watch it, so that they learn of a restarted shard without asking.
using directory_actor = caf::typed_actor<caf::reacts_to<watch_shards>, caf::reacts_to<child_event>>;

struct directory_state {
  const char* name{"directory"};
  std::vector<std::string> supervisors; ///< by stage
  std::vector<shard_actor> shards;
  std::vector<lead_actor> leads;
};

/// `supervisors` are the names of the supervisors that hold one shard each, in order of the stages.
[[nodiscard]] directory_actor::behavior_type
directory_behavior(directory_actor::stateful_pointer<directory_state> self,
                   std::vector<std::string> supervisors);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_shards)
