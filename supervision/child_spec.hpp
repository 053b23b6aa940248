#pragma once

#include "messages/result.hpp"
#include "supervision/supervisor_core.hpp"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include <functional>
#include <vector>

namespace ovir::supervision {

/// A child a supervisor keeps. `start` runs in the supervisor's handler, at first and for each
/// restart, and must be quick; the actor must not have handles to itself that keep it alive.
struct child_spec {
  child_rules rules;
  bool is_supervisor{false}; ///< answers `describe_tree` and `find_child`
  std::function<result<caf::actor>(caf::actor_system&)> start;
};

/// A supervisor and its first children, in order of their start.
struct supervisor_spec {
  std::string name;
  strategy how{strategy::one_for_one};
  restart_policy policy{3, std::chrono::seconds{5}};
  std::vector<child_spec> children;
  caf::actor watcher; ///< told of every `child_event`; may be empty
};

} // namespace ovir::supervision
