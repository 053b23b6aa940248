#pragma once

#include "actors/link/nat_board.hpp"
#include "actors/members/membership_actor.hpp"
#include "actors/operator/command_turns.hpp"
#include "actors/operator/console_desk_actor.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/reuse/cache_owner.hpp"
#include "actors/stage/stage_host_actor.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace ovir::actors {

struct admin_tick {};
/// The next command that waits is answered now.
struct admin_turn {};
/// What came of a `load`.
struct model_loaded {
  connection_id connection;
  std::uint64_t command{0};
  result<model_catalog::entry> loaded{error{}};
};
/// The supervision tree as a JSON document.
using tree_writer = std::function<void(caf::event_based_actor* self,
                                       std::function<void(result<std::string> json)> done)>;

struct admin_environment {
  node_id self;
  std::string name;
  std::string cluster;
  std::string version;
  peers* links{nullptr};
  access_list* access{nullptr};
  model_catalog* models{nullptr};
  log* journal{nullptr};
  node_id keeper;     ///< of the ledger this node uses; empty: none
  cache_policy cache; ///< of requests that come from shells
  /// Their requests run only when they are paid for by the shell's own account.
  bool clients_pay{false};
  /// "membership", "paths", "jobs" (schedulers), "host" (workers), "cache", as they are at the
  /// moment.
  std::function<caf::actor(const std::string& name)> find;
  tree_writer tree;
  bool chaos{false};
  std::shared_ptr<const nat_board> reach{}; ///< how it is reached; may be null
  std::function<void()> drain_self;
  std::function<void()> kill_self;
  std::function<void(std::uint32_t ms)> stop_self;
  std::function<void(std::chrono::milliseconds)> delay_self; ///< what it sends to members
  /// Loads a model on the compute threads, where `done` is called.
  std::function<void(const std::string& path, std::optional<layer_range> layers,
                     std::function<void(result<model_catalog::entry>)> done)>
      load;
};

/// Answers admin shells: docs/formats/admin.md. Looks and orders; what it shows it asks of the
/// others each time.
struct admin_state {
  struct watch {
    connection_id connection;
    std::uint64_t command{0};
    request_id request; ///< of `run` and `attach`; 0 for `top`
    bool top{false};
    std::uint32_t every_ticks{0};
    std::uint32_t ticks{0};
    bool due{false}; ///< a `top` that is told next
  };
  struct client {
    peer_info peer;
    std::set<std::uint64_t> open; ///< commands under way
  };
  const char* name{"admin"};
  admin_environment environment;
  std::map<connection_id, client> clients;
  command_turns waiting;
  bool turn_taken{false}; ///< an `admin_turn` is under way: as long as something waits
  std::map<std::uint64_t, watch> watches; ///< by tag
  /// Of the console, by command; its commands are those of `console_connection`.
  std::map<std::uint64_t, std::function<void(nlohmann::json)>> looks;
  std::uint64_t next_tag{1};
  bool ticking{false}; ///< an `admin_tick` is under way: as long as something is watched
  bool asks_for_tops{false};
  members_view members;
};

using admin_pointer = caf::stateful_actor<admin_state>*;

[[nodiscard]] caf::behavior admin_behavior(admin_pointer self, admin_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::admin_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::admin_turn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::model_loaded)
