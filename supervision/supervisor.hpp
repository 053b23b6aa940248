#pragma once

#include "supervision/child_spec.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ovir::supervision {

/// Asks a supervisor for itself and everything below it; answered by a `tree_node`.
struct describe_tree {};

/// One line of the printed tree.
struct tree_node {
  std::string name;
  std::string state;
  std::uint32_t restarts{0};
  std::vector<tree_node> children;
  std::string restart{};  ///< its kind; empty for the root
  std::string strategy{}; ///< of a supervisor that answered
};

/// Asks for the actor at a path such as "requests/scheduler"; answered by its handle, by
/// `peer_lost` while it is being restarted, by `not_found` when no such child is kept.
struct find_child {
  std::string path;
};

/// Starts a temporary child; answered by its handle or the reason why it has none.
struct start_child {
  child_spec spec;
};

/// Indented text: name, state, restarts.
[[nodiscard]] std::string print_tree(const tree_node& root);

/// How long `describe_tree` waits for each supervisor below.
inline constexpr std::chrono::seconds describe_wait{2};

/// The shell around `supervisor_core`: starts, monitors and stops real actors, and takes time from
/// the actor system's clock, so that tests can move it. It holds its children by strong handles and
/// kills them when it is itself killed. Asked to end (any exit message but `kill`), it stops its
/// children in reverse order and ends with `user_shutdown`; when crashes come too often, with
/// `restarts_exhausted` and a sentence.
struct supervisor_state {
  struct kept {
    child_spec spec;
    caf::actor handle; ///< empty unless starting succeeded and it has not ended
  };
  std::string name;
  std::unique_ptr<supervisor_core> core;
  std::map<child_key, kept> children;
  caf::actor watcher;
  error last_crash;
  /// Shared with the functor that runs when this actor ends, after its state is gone.
  std::shared_ptr<std::vector<caf::actor>> alive = std::make_shared<std::vector<caf::actor>>();
};

using supervisor_pointer = caf::stateful_actor<supervisor_state>*;

[[nodiscard]] caf::behavior supervisor_behavior(supervisor_pointer self,
                                                const supervisor_spec& spec);

/// A child spec whose child is the supervisor that `make` describes. `make` runs at each (re)start.
[[nodiscard]] child_spec supervisor_child(child_rules rules, std::function<supervisor_spec()> make);

} // namespace ovir::supervision

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::describe_tree)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::tree_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::find_child)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::start_child)
