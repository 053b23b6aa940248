#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "actors/protocol/wire.hpp"

#include <caf/fwd.hpp>

/// Stands in for an actor on another node: typed handles like any other, so that leads and shards
/// cannot tell near from far. A proxy has no mailbox and no thread: what is sent to it goes out at
/// once, on the sender's thread, so a hop costs no wake-up.
namespace ovir::actors {

/// Where proxies put what they are told. Thread-safe; outlives the actor system. What cannot be
/// sent is dropped: the link's end is told to everyone concerned by other means.
class outbox {
public:
  virtual ~outbox() = default;
  virtual void send_wire(const node_id& to, wire_message message) = 0;
  virtual void send_frame(const node_id& to, std::uint32_t target, frame_bytes frame) = 0;
};

/// A stage of one request, as its lead sees it.
struct remote_stage {
  request_id request;
  digest model;
  node_id node;
  layer_range layers;
  node_id previous; ///< who will send it frames
  next_hop next;
};

[[nodiscard]] shard_actor make_remote_stage(caf::actor_system& system, outbox& out,
                                            remote_stage what);
/// The path around the stage changed: told to its node with the next `open_session`. Precondition:
/// made by `make_remote_stage`.
void reroute(const shard_actor& stage, const node_id& previous, const next_hop& next);

/// The lead of one request, as a stage sees it. `stage` is the stage's first layer.
[[nodiscard]] lead_actor make_remote_lead(caf::actor_system& system, outbox& out, node_id node,
                                          request_id request, layer_index stage);

/// The stage after, on another node or this one; takes frames only.
[[nodiscard]] frame_sink make_remote_sink(caf::actor_system& system, outbox& out, node_id node,
                                          layer_index stage);

/// Ends a proxy: whoever monitors it hears that what it stood for is gone.
void end_proxy(const caf::actor& proxy, const error& reason);

} // namespace ovir::actors
