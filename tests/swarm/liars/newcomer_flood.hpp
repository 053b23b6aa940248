#pragma once

#include "actors/members/gossip_format.hpp"
#include "messages/signing.hpp"
#include "tests/swarm/wires.hpp"
#include "tests/swarm/world.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

/// What all keys of a flood have in common.
struct flood_terms {
  std::vector<std::string> victims; ///< addresses of nodes
  digest model;                     ///< whose layers they say they hold
  std::uint32_t layers{0};
  nanoseconds boast_until{0}; ///< from then on they hold nothing
  /// Signed adverts of nodes that are not there.
  std::shared_ptr<const std::vector<actors::signed_update>> ghosts;
};

/// A key without leave that is no node. It comes to one node after the other, says that it holds
/// the whole model and is faster than all others, tells of nodes that are not there, counts them
/// and accuses those that are. It answers pings, takes every stage, and computes nothing.
class newcomer_flood final : public actors::network_handler {
public:
  /// `name`, `address`: what it says of itself; no node listens there.
  newcomer_flood(world& in, wires& at, std::size_t machine, const secret_key& key,
                 std::string address, std::shared_ptr<const flood_terms> terms);

  void begin();
  void end();
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; } ///< told
  [[nodiscard]] std::uint64_t let_in() const noexcept { return let_in_; }   ///< links
  [[nodiscard]] std::uint64_t stages() const noexcept { return stages_; }   ///< it was given

  result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;

private:
  void act(std::uint64_t turn);
  void come();
  void go();
  void tell(actors::connection_id to, const actors::gossip_message& what);
  [[nodiscard]] actors::gossip_message lies();
  [[nodiscard]] const actors::signed_update& own() const;
  void note(const std::vector<actors::signed_update>& news);

  world& world_;
  wires& wires_;
  std::size_t machine_;
  const secret_key& key_;
  std::shared_ptr<const flood_terms> terms_;
  chance draws_;
  actors::tls_options how_;
  actors::signed_update boast_;
  actors::signed_update modest_;    ///< later
  std::unique_ptr<endpoint> links_; ///< null: it does nothing
  std::uint64_t turn_{0};
  std::size_t acts_{0}; ///< since it came to where it is
  std::map<actors::connection_id, actors::channel> open_;
  std::map<node_id, std::uint64_t> seen_; ///< nodes that others told of, and their incarnations
  std::uint64_t records_{0};
  std::uint64_t let_in_{0};
  std::uint64_t stages_{0};
};

} // namespace ovir::swarm
