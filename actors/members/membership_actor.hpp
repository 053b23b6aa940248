#pragma once

#include "actors/members/membership_core.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/runtime/log.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// Who is there, as of the last change; never null. Shared by everyone who is told.
using members_view = std::shared_ptr<const std::vector<member>>;

/// To those who watch: somebody came, went, or changed.
struct members_changed {
  members_view members;
};
struct membership_tick {};
/// What this node can say of its load, for its advert.
struct load_changed {
  std::uint32_t sessions{0};
  std::uint64_t memory_free{0};
  std::uint64_t decode_bytes_per_second{0}; ///< of steps done here; 0: none yet
  std::uint64_t prefill_bytes_per_second{0};
};
/// Models were loaded or unloaded, speeds measured, or the node drains.
struct advert_changed {
  std::function<void(node_advert&)> edit;
};
/// Says goodbye; answered with `true` when that was handed to the links.
struct leave_cluster {};
/// Answered by `members_changed`.
struct list_members {};

struct membership_environment {
  const secret_key* key{nullptr};
  peers* links{nullptr};
  access_list* access{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  membership_options options;
  node_advert advert;
  std::uint64_t incarnation{0};
  std::vector<std::string> seeds;
  /// Whether the link with a node passes through a third one. May be empty: none does.
  std::function<bool(const node_id&)> is_relayed{};
  std::function<std::vector<caf::actor>()>
      watchers; ///< told of every change, in a crowd of all since half a second ago
};

struct membership_state {
  const char* name{"membership"};
  membership_environment environment;
  std::optional<membership_core> core;
  std::uint32_t ticks{0};
  bool changed{false}; ///< in a crowd, since the watchers were told
  bool left{false};
  membership_time rtts_told{};                   ///< to others, in the advert
  std::map<node_id, std::size_t> notices_told{}; ///< how many, to those linked
  members_view view = std::make_shared<const std::vector<member>>();
};

using membership_pointer = caf::stateful_actor<membership_state>*;

/// The shell around `membership_core`: ticks, links and gossip in, gossip and news out. It keeps
/// knocking at the seeds that are not linked, in a crowd at one of them now and then.
[[nodiscard]] caf::behavior membership_behavior(membership_pointer self,
                                                membership_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::members_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::membership_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::load_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::advert_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::leave_cluster)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::list_members)
