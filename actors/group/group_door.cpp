#include "actors/group/group_door.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace ovir::actors {

group_door::group_door(network_handler& behind, group_desk& desk,
                       std::function<bool(const node_id&)> linked)
    : behind_(behind), desk_(desk), linked_(std::move(linked)) {}

void group_door::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                          received_bytes bytes) {
  if (kind != message_kind::tensor || target != group_target) {
    return behind_.received(peer, kind, target, std::move(bytes));
  }
  // A copy: a member keeps a step's messages until the next one is over, which a connection whose
  // receive budget they fill would never bring. What members keep is bounded by their inboxes.
  desk_.deliver(peer.node, std::make_shared<const std::vector<std::byte>>(*bytes));
}

void group_door::closed(const peer_info& peer, const error& reason) {
  behind_.closed(peer, reason);
  const bool of_a_link = peer.kind == channel::data || peer.kind == channel::control;
  if (of_a_link && !linked_(peer.node)) {
    desk_.link_lost(peer.node);
  }
}

} // namespace ovir::actors
