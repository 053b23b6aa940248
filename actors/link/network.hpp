#pragma once

#include "messages/address_prefix.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Authenticated connections between nodes (docs/adr/0008-links.md): what an implementation
/// promises. `tls_network` is the real one; a simulation has another.
namespace ovir::actors {

/// A connection carries one kind of traffic, so that a large activation never delays a probe.
enum class channel : std::uint8_t {
  control = 1, ///< between members: orders, answers, gossip
  data = 2,    ///< between members: tensor frames
  admin = 3,   ///< a person's shell: JSON requests and answers
  bulk = 4,    ///< between members: weights and blocks, which no activation waits for
  relay = 5,   ///< from a member to one that helps it to reach others (actors/nat)
};

/// What a message is. Which kinds a channel takes and how large they may be: `message_bytes_max`.
enum class message_kind : std::uint16_t {
  tensor = 1,   ///< data: a frame of messages/wire/frame.hpp
  wire = 2,     ///< control: an order or answer of actors/protocol/wire.hpp
  gossip = 3,   ///< control: membership
  request = 4,  ///< admin: JSON, client to node
  reply = 5,    ///< admin: JSON, node to client
  weights = 6,  ///< bulk: a message of messages/wire/fetch_frame.hpp
  blocks = 7,   ///< control, bulk: a message of messages/wire/block_frame.hpp
  audit = 8,    ///< data: a message of messages/evidence/audit.hpp
  credit = 9,   ///< control: a message of ledger/keeper/message.hpp
  keepers = 10, ///< control: what keepers of one ledger say (docs/formats/keepers.md)
  nat = 11,     ///< relay: a message of actors/nat/nat_message.hpp
};

/// Largest payload of a kind on a channel; 0 where the channel does not take it.
[[nodiscard]] std::size_t message_bytes_max(channel c, message_kind kind) noexcept;
/// Bytes that may wait for a slow peer, each message with its overhead, before another is queued.
[[nodiscard]] std::size_t send_bytes_max(channel c) noexcept;
/// Bytes of messages that may be held by whoever got them, or one message, whichever is more.
[[nodiscard]] std::size_t receive_bytes_max(channel c) noexcept;

using connection_id = strong_id<struct connection_id_tag, std::uint64_t>;

/// Bytes that came from a peer. What it holds counts against its connection's receive budget until
/// the last owner lets go, so a peer cannot make a node hold more than that. Starts at a multiple
/// of 8.
using received_bytes = std::shared_ptr<const std::vector<std::byte>>;

struct peer_info {
  connection_id connection;
  node_id node;
  channel kind{channel::control};
  role_set roles;      ///< what it was admitted as
  std::string address; ///< where it says it listens; empty for a client
  bool incoming{false};
  std::uint64_t life{0};      ///< `network_identity::life` of the other side
  address_prefix from{};      ///< where it is, as this side's system says
  std::uint64_t last_loss{0}; ///< `network_handler::last_loss` that the other side's hello told
  std::uint64_t told_loss{0}; ///< the one that this side's hello told
  /// HOST:PORT of the other end, as this side's system says. Empty: it is not known, because the
  /// connection runs over a `ready_stream`.
  std::string seen{};
};

/// What a peer says of itself before it is admitted. Its key is proven already.
struct peer_hello {
  node_id node;
  channel kind{channel::control};
  std::string cluster;          ///< name of the cluster it wants
  std::string address;          ///< HOST:PORT it listens on; empty for a client
  role_set roles;               ///< what it wants to be
  std::vector<std::byte> token; ///< a join token's bytes; may be empty
  bool token_bound{false};      ///< it signed this very connection together with the token
  bool incoming{false};
  std::uint64_t life{0};      ///< `network_identity::life`
  std::uint64_t last_loss{0}; ///< `network_handler::last_loss`
  address_prefix from{};      ///< where it is, as this side's system says
};

/// What a node does with connections. Called on the network's threads, for one connection in order;
/// must not block or throw. Outlives the network.
class network_handler {
public:
  virtual ~network_handler() = default;

  /// Whether a peer may stay, and as what. An error closes the connection and is told to the peer.
  [[nodiscard]] virtual result<role_set> admit(const peer_hello& hello) = 0;
  /// Which of the links that this process lost was the last one with `node`: a number that grows,
  /// 0 for none. Hellos tell it, so that the other side knows a link that is made anew from the
  /// second of two that were opened at once. Never called within a call of the network.
  [[nodiscard]] virtual std::uint64_t last_loss(const node_id& /*node*/) const { return 0; }
  /// Whether a node that was admitted may still be helped (actors/nat). Any thread.
  [[nodiscard]] virtual bool may_stay(const node_id& /*node*/) const { return true; }
  virtual void connected(const peer_info& peer) = 0;
  virtual void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                        received_bytes bytes) = 0;
  /// Once for every `connected`, after its last `received`; and for each `connect` that failed,
  /// then with the node that was expected.
  virtual void closed(const peer_info& peer, const error& reason) = 0;
};

/// This side's hello. `token` may be empty.
struct network_identity {
  std::string cluster;
  std::string address; ///< as others can reach it; empty for a client
  role_set roles;
  std::vector<std::byte> token;
  /// Drawn when the process starts: connections of two lives are never of one link. 0: a client.
  std::uint64_t life{0};
};

class network {
public:
  virtual ~network() = default;

  /// Starts a connection; `connected` or `closed` will tell. `expected` (may be empty: anyone the
  /// handler admits) is who must be at the other end. The id is this connection's in both.
  virtual connection_id connect(const std::string& address, channel kind,
                                const node_id& expected) = 0;

  /// Queues a message, in order. `peer_lost` when the connection is gone; `busy` when the peer is
  /// so slow that more than `send_bytes_max` wait for it, which also closes the connection.
  /// `target` travels along: what it means is between the two ends. Any thread.
  virtual result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                            std::shared_ptr<const std::vector<std::byte>> bytes) = 0;

  /// Closes after what is queued was sent or a short while passed. Any thread.
  virtual void close(connection_id connection, error reason) = 0;
};

/// One that others can connect to.
class listening_network : public network {
public:
  /// Where it listens, with the port it got.
  [[nodiscard]] virtual std::string listen_address() const = 0;
  [[nodiscard]] virtual std::string admin_address() const = 0;
  /// What the two ends of this connection know and no other, where both are processes of this
  /// machine and nothing stands between them. While the connection is there. Any thread.
  [[nodiscard]] virtual std::optional<digest> pass(connection_id /*connection*/) const {
    return std::nullopt;
  }
};

} // namespace ovir::actors
