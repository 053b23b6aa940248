#pragma once

#include "actors/group/group_desk.hpp"
#include "actors/link/network.hpp"

#include <functional>

namespace ovir::actors {

/// `target` of a tensor message between members of a group (docs/formats/parts.md). No stage begins
/// at such a layer, and a frame for a lead has another.
inline constexpr std::uint32_t group_target = 0xffff'fffeU;

/// Stands between a node's connections and what else it does with them: gives the desk what members
/// of groups send, and tells it of nodes that are gone. Everything else passes. Thread-safe;
/// outlives the network.
class group_door final : public network_handler {
public:
  /// `linked`: whether there is a link to a node. All of it outlives the door.
  group_door(network_handler& behind, group_desk& desk, std::function<bool(const node_id&)> linked);

  // network_handler
  result<role_set> admit(const peer_hello& hello) override { return behind_.admit(hello); }
  std::uint64_t last_loss(const node_id& node) const override { return behind_.last_loss(node); }
  bool may_stay(const node_id& node) const override { return behind_.may_stay(node); }
  void connected(const peer_info& peer) override { behind_.connected(peer); }
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override;
  void closed(const peer_info& peer, const error& reason) override;

private:
  network_handler& behind_;
  group_desk& desk_;
  const std::function<bool(const node_id&)> linked_;
};

} // namespace ovir::actors
