#pragma once

#include "actors/link/access_list.hpp"
#include "actors/link/link_table.hpp"
#include "actors/link/network.hpp"
#include "actors/link/refusal_log.hpp"
#include "actors/protocol/link_mail.hpp"
#include "actors/protocol/peers_core.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/protocol/remote_actor.hpp"
#include "actors/runtime/log.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

// What the actors of a node hear of its links. `bytes` is what a message was read from: while they
// are held, they count against the receive budget of the sender's connection, so that a peer can
// fill nobody's mailbox. Empty where the sender is this node.

/// A member's links, control and data, are both there, or no longer.
struct link_changed {
  node_id node;
  bool up{false};
  std::string reason;    ///< when down
  bool ours{false};      ///< when up: this node opened it
  address_prefix from{}; ///< when up: where it is (`peer_info::from`)
};
struct gossip_received {
  node_id from;
  connection_id connection;
  received_bytes bytes;
};
/// An order to this node's stages, from a scheduler.
struct order_received {
  node_id from;
  wire_message message;
  received_bytes bytes{};
};
/// A request whose lead is gone, from the node of its first stage.
struct adoption_asked {
  node_id from;
  request_log log;
  received_bytes bytes{};
};
struct adoption_answered {
  node_id from;
  request_id request;
};
/// A message of ledger/keeper/message.hpp: a question for a keeper of the ledger, or what one says.
/// Or, to a keeper, what another one says (docs/formats/keepers.md).
struct credit_received {
  node_id from;
  role_set roles;
  received_bytes bytes;
  message_kind kind{message_kind::credit};
};
/// A node does not fetch, or drop, the layers it was ordered to.
struct load_failed {
  node_id from;
  wire_load_failed what;
};
/// Requests at another scheduler want this model.
struct asked_elsewhere {
  digest model;
};
/// A connection for weights is there, ...
struct bulk_connected {
  peer_info peer;
};
/// ... said something (messages/wire/fetch_frame.hpp), ...
struct bulk_received {
  peer_info peer;
  received_bytes bytes;
};
/// ... or is over, or never came to be.
struct bulk_closed {
  peer_info peer;
  error reason;
};
/// About audits (messages/evidence/audit.hpp), from a member with these roles.
struct audit_received {
  node_id from;
  role_set roles;
  received_bytes bytes{};
};
/// Said about blocks (messages/wire/block_frame.hpp), on a control or a bulk connection.
struct blocks_received {
  peer_info peer;
  received_bytes bytes;
};
/// What a shell asks. A shell is known by its first request.
struct admin_request {
  peer_info peer;
  received_bytes bytes; ///< JSON
};
struct admin_closed {
  connection_id connection;
};

/// The links of this node and the way from them to its actors: the one place that knows both. Lets
/// through what its core allows; the rest is dropped and counted.
/// Thread-safe; outlives the actor system and the network.
class peers final : public network_handler, public outbox {
public:
  struct receivers {
    caf::actor host;       ///< order_received
    caf::actor membership; ///< link_changed, gossip_received
    caf::actor paths;      ///< link_changed, load_failed
    caf::actor placer;     ///< asked_elsewhere, load_failed
    caf::actor jobs;       ///< adoption_asked
    caf::actor admin;      ///< admin_*
    caf::actor source;     ///< bulk_*, of connections others began
    caf::actor fetcher;    ///< bulk_*, of those begun here
    caf::actor verifier;   ///< audit_received
    caf::actor blocks;     ///< blocks_received; bulk_* of those begun for blocks; link_changed
    caf::actor ledger;     ///< credit_received, link_changed: this node keeps the ledger
    caf::actor payments;   ///< credit_received, link_changed: what the keeper says
  };
  /// Where members are that can be linked when they are needed.
  using address_book = std::shared_ptr<const std::map<node_id, std::string>>;
  using clock = std::function<std::uint64_t()>; ///< seconds since 1970

  peers(node_id self, access_list& access, log& journal, clock unix_now);

  /// Null: there is no network any more, and nothing is sent.
  void use(network* net);
  /// Sets those that are given; a restarted actor takes its place again.
  void use(const receivers& actors);
  /// In a crowd, where what is sent to a member without a link opens one and waits for it. Null:
  /// every member that is there is linked, and such a message is lost.
  void use(address_book members);
  void forget_actors();

  /// Opens a link unless there is one already or under way.
  void connect(const std::string& address, const node_id& expected);
  /// Looks after the links there are; about twice a second.
  void tend();
  [[nodiscard]] bool connected(const node_id& node) const;
  /// Whether it is linked, or can be when it is needed.
  [[nodiscard]] bool reachable(const node_id& node) const;
  /// Closes a link that nobody here needs: false where somebody does.
  [[nodiscard]] bool part(const node_id& node);
  /// In a crowd: those that exchanged other messages than gossip with this node since the last
  /// call.
  [[nodiscard]] std::set<node_id> take_used() {
    const std::lock_guard lock{guard_};
    return std::exchange(used_, {});
  }
  /// Whether a member that was reached under this address, whatever it calls itself, is linked.
  [[nodiscard]] bool reached(const std::string& address) const;
  void disconnect(const node_id& node, const error& reason);
  void close(connection_id connection, error reason);
  void send_gossip(const node_id& to, std::vector<std::byte> bytes);
  void send_admin(connection_id to, const std::string& json);
  /// Begins a connection for weights, or for blocks: its `bulk_connected` or `bulk_closed` goes to
  /// who deals with them. Empty where there is no network.
  [[nodiscard]] std::optional<connection_id>
  connect_bulk(const std::string& address, const node_id& expected,
               message_kind about = message_kind::weights);
  void send_bulk(connection_id to, std::vector<std::byte> bytes,
                 message_kind about = message_kind::weights);
  /// Dropped where there is no link and no way to open one.
  void send_audit(const node_id& to, std::vector<std::byte> bytes);
  /// On the control connection: what this node claims to have.
  void send_claims(const node_id& to, std::shared_ptr<const std::vector<std::byte>> bytes);
  /// A message of ledger/keeper/message.hpp, or what one keeper says to another. Lost where there
  /// is no link: its sender asks again.
  void send_credit(const node_id& to, std::vector<std::byte> bytes,
                   message_kind kind = message_kind::credit);

  // Routes. A stage is named by its first layer.
  void route_lead(request_id request, lead_actor lead, peers_core::path path);
  void drop_lead(request_id request);
  /// Closes the stages of all leads. For a new pathfinder: the one that routed them has ended.
  void close_leads();
  void route_stage(request_id request, layer_index stage, shard_actor shard, node_id previous);
  void drop_stage(request_id request, layer_index stage);

  // outbox
  void send_wire(const node_id& to, wire_message message) override;
  void send_frame(const node_id& to, std::uint32_t target, frame_bytes frame) override;

  // network_handler
  result<role_set> admit(const peer_hello& hello) override;
  std::uint64_t last_loss(const node_id& node) const override {
    const std::lock_guard lock{guard_};
    return links_.last_loss(node);
  }
  bool may_stay(const node_id& node) const override { return !access_.roles_of(node).empty(); }
  void connected(const peer_info& peer) override;
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override;
  void closed(const peer_info& peer, const error& reason) override;

  struct counters {
    std::uint64_t dropped{0}; ///< messages no role or request allowed
    std::size_t links{0};
    std::size_t lead_routes{0};
    std::size_t stage_routes{0};
  };
  [[nodiscard]] counters count() const {
    const std::lock_guard lock{guard_};
    return {dropped_, links_.size(), core_.lead_routes(), core_.stage_routes()};
  }
  /// `access_list::is_stranger`
  [[nodiscard]] bool is_stranger(const node_id& node) const { return access_.is_stranger(node); }
  [[nodiscard]] std::optional<stranger_door::counts> strangers() const {
    return access_.strangers();
  }

private:
  void deliver_wire(const node_id& from, role_set roles, wire_message message,
                    const received_bytes& bytes);
  bool give_wire(const node_id& from, role_set roles, wire_message message,
                 const received_bytes& bytes);
  void deliver_credit(credit_received news);
  void deliver_request(const peer_info& shell, received_bytes bytes);
  void deliver_frame(const node_id& from, std::uint32_t target, const frame_bytes& frame);
  [[nodiscard]] caf::strong_actor_ptr receiver_of(const node_id& from, std::uint32_t target,
                                                  std::span<const std::byte> frame);
  /// Who hears of this connection for weights.
  [[nodiscard]] const caf::actor& bulk_receiver(const peer_info& peer) const {
    return block_links_.contains(peer.connection) ? actors_.blocks
           : peer.incoming                        ? actors_.source
                                                  : actors_.fetcher;
  }
  void drop(const node_id& from, std::string_view what);
  [[nodiscard]] std::optional<connection_id> way(const node_id& to, channel kind) const;
  void perform(const link_table::effects& effects);
  [[nodiscard]] address_prefix seen_from(const node_id& node) const;
  void announce(const node_id& node, bool up, const std::string& reason, bool ours = false);
  /// Over the link, or when there is one. Under the lock.
  void post(const node_id& to, link_mail::letter mail);
  void deliver_mail(const node_id& to);
  void note_used(const node_id& node);
  void end_links(const node_id& node, const error& reason); ///< under the lock

  const node_id self_;
  access_list& access_;
  log& log_;
  const clock unix_now_;
  /// Shared by those who send messages of requests, which takes a while: they wait for nobody but
  /// `use`, and then the network stays until they are done. Taken before `guard_`.
  std::shared_mutex sending_;
  mutable std::mutex guard_;
  network* network_{nullptr}; ///< written under both
  receivers actors_;
  link_table links_;
  std::map<node_id, address_prefix> seen_from_; ///< of nodes with a connection
  refusal_log refusals_;
  peers_core core_;
  std::map<request_id, lead_actor> leads_; ///< of the core's routes
  std::map<std::pair<request_id, layer_index>, shard_actor> stages_;
  std::map<connection_id, node_id> bulk_; ///< connections for weights or blocks, of either side
  std::set<connection_id> block_links_;   ///< those of them begun here for blocks
  std::set<connection_id> shells_;        ///< that asked something
  std::uint64_t dropped_{0};
  address_book members_;   ///< in a crowd
  link_mail mail_;         ///< likewise
  std::set<node_id> used_; ///< likewise
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::link_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::gossip_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::order_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::adoption_asked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::adoption_answered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::load_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::asked_elsewhere)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::credit_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::bulk_connected)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::bulk_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::bulk_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::audit_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::blocks_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::admin_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::admin_closed)
