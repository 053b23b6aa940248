#pragma once

#include "actors/protocol/protocol.hpp"
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

using lead_actor = caf::typed_actor<
    caf::reacts_to<tensor_frame>, caf::reacts_to<session_opened>, caf::reacts_to<step_done>,
    caf::reacts_to<session_finished>, caf::reacts_to<stage_failed>, caf::reacts_to<path_found>,
    caf::reacts_to<path_missing>, caf::reacts_to<path_lost>, caf::reacts_to<cancel_request>,
    caf::reacts_to<tokens_drawn>, caf::reacts_to<receipt_made>, caf::reacts_to<watch_tick>>;

/// What a pass of a shard found, and the end of its wait for others to join one; both sent to the
/// shard itself.
struct shard_pass_done;
struct shard_gather_over;

using shard_actor = caf::typed_actor<
    caf::reacts_to<tensor_frame>, caf::reacts_to<open_session>, caf::reacts_to<replay_boundaries>,
    caf::reacts_to<resend_logits>, caf::reacts_to<finish_session>, caf::reacts_to<close_session>,
    caf::reacts_to<log_token>, caf::reacts_to<name_windows>, caf::reacts_to<sign_evidence>,
    caf::reacts_to<shard_pass_done>, caf::reacts_to<shard_gather_over>>;

/// Starts a driver's epoch at a stage. The session is made when it is not there; it is kept when it
/// is, and answers `session_opened` once the step under way has ended.
struct open_session {
  request_id request;
  epoch driver;
  stage_index stage;
  std::uint32_t positions{0}; ///< most the request will reach
  position keep{0};           ///< a session that has gone further begins afresh
  lead_actor lead;
  frame_sink next; ///< the next stage, or the lead
  /// What another lead would need, for the first stage's node to keep; else null.
  std::shared_ptr<const request_log> log;
  stage_answers answers{stage_answers::logits}; ///< of the last stage
  /// `sign_evidence` follows; `session_opened` is not said before it came, so that no frame
  /// overtakes it.
  bool signs{false};
  /// Names of the windows known so far (`compute::window_name`), and how many of them may come from
  /// the cache: a session that took more from there begins afresh. Null: the cache is not used.
  std::shared_ptr<const std::vector<digest>> prefixes{};
  std::uint32_t reuse_windows{0};
  bool explain{false}; ///< the answer says how the lookup went
  bool traces{false};  ///< every step is told, with the time it was computed in
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
};
/// A stage of the path is lost, refuses, is slow beyond its slack, or is at fault; or one that was
/// left turned out to have stated what is wrong: then the reason is `digest_mismatch`.
struct path_trouble {
  request_id request;
  shard_actor stage;
  error reason;
};
using path_provider = caf::typed_actor<caf::reacts_to<watch_path>, caf::reacts_to<path_trouble>>;

/// To the scheduler.
struct submit_request {
  generation_request request;
  caf::actor requester;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tensor_frame)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::open_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::replay_boundaries)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::resend_logits)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::finish_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::close_session)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::session_opened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::step_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::session_finished)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::stage_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_found)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_missing)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_path)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_trouble)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::log_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::sign_evidence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::receipt_made)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::name_windows)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cancel_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::tokens_drawn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_pass_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_gather_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::text_piece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::generation_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_request)
