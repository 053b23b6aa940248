#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/evidence/attestation.hpp"
#include "messages/request/path.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

/// The messages between actors that carry handles, and the types of these actors. They stay within
/// the process.
namespace ovir::actors {

/// An actor that takes frames: the next stage, or the lead behind the last one.
using frame_sink = caf::typed_actor<caf::reacts_to<tensor_frame>>;

struct open_session;
struct path_found;

template <class... News>
caf::typed_actor<caf::reacts_to<tensor_frame>, caf::reacts_to<from_stage<News>>...,
                 caf::reacts_to<path_found>, caf::reacts_to<path_missing>,
                 caf::reacts_to<path_lost>, caf::reacts_to<cancel_request>,
                 caf::reacts_to<tokens_drawn>, caf::reacts_to<guess_made>,
                 caf::reacts_to<receipt_made>, caf::reacts_to<watch_tick>>
    lead_that_hears(message_list<News...>);
using lead_actor = decltype(lead_that_hears(stage_news{}));

/// What a pass of a shard found, and the end of its wait for others to join one; both sent to the
/// shard itself.
struct shard_pass_done;
struct shard_gather_over;

template <class... Orders>
caf::typed_actor<caf::reacts_to<tensor_frame>, caf::reacts_to<open_session>,
                 caf::reacts_to<to_stage<Orders>>..., caf::reacts_to<shard_pass_done>,
                 caf::reacts_to<shard_gather_over>>
    shard_that_takes(message_list<Orders...>);
using shard_actor = decltype(shard_that_takes(stage_orders{}));

/// Starts a driver's epoch at a stage. The session is made when it is not there; it is kept when it
/// is, and answers `session_opened` once the step under way has ended.
struct open_session : session_order {
  request_id request;
  epoch driver;
  stage_index stage;
  lead_actor lead;
  frame_sink next; ///< the next stage, or the lead
  session_model model{};
};

// Lead and pathfinder

/// A stage of a path.
struct path_stage {
  shard_actor handle;
  node_id node; ///< empty within one process
  layer_range layers;
};
/// Every stage is there. Sent again when a stage came back as another actor or elsewhere; a stage
/// whose handle is the same has kept its sessions.
struct path_found {
  std::vector<path_stage> stages;
  /// What its nodes are attested, by whom a request that demands a tier names.
  std::vector<attestation> attested{};
};
/// Asks for a path, and for news of it until the lead ends.
struct watch_path {
  request_id request;
  digest model;
  std::uint32_t positions{0};
  lead_actor lead;
  /// What was paid for: taken as it is where its nodes can, and mended where they cannot. Empty:
  /// any path.
  layer_places preferred;
  std::chrono::nanoseconds allowed{0}; ///< for a token, by its deadline; 0: it has none
  twin_rule twin{twin_rule::alone};
  std::optional<ends_rule> ends{};   ///< which nodes may have its ends; none: any
  std::optional<tier_demand> tier{}; ///< of each of its nodes; none: any
};
/// A stage of the path is lost, refuses, is slow beyond its slack, or is at fault; or one that was
/// left turned out to have stated what is wrong: then the reason is `digest_mismatch`.
struct path_trouble {
  request_id request;
  shard_actor stage;
  error reason;
};
/// What the stages of the path took for a step of one position (`stage_times`), the ways between
/// them included.
struct steps_seen {
  request_id request;
  layer_places path;
  std::vector<std::chrono::nanoseconds> took; ///< of each of these
  /// What the lead itself took from an answer to the next step; 0: it is not known.
  std::chrono::nanoseconds lead{0};
};
using path_provider = caf::typed_actor<caf::reacts_to<watch_path>, caf::reacts_to<path_trouble>,
                                       caf::reacts_to<steps_seen>>;

/// To the scheduler.
struct submit_request {
  generation_request request;
  caf::actor requester;
};

} // namespace ovir::actors

namespace caf {
template <class Order>
struct allowed_unsafe_message_type<ovir::actors::to_stage<Order>> : std::true_type {};
template <class News>
struct allowed_unsafe_message_type<ovir::actors::from_stage<News>> : std::true_type {};
} // namespace caf

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tensor_frame)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::open_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_missing)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_path)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_trouble)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::steps_seen)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_made)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cancel_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tokens_drawn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::guess_made)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_pass_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_gather_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::text_piece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::generation_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_part)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_request)
