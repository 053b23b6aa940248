#pragma once

#include "compute/sampler.hpp"
#include "compute/transcript.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// What the actors of a node say to one another (docs/adr/0005-recovery-by-replay.md). All of it
/// stays in the process, because it carries handles; tensors travel in the frames of
/// messages/frame.hpp, so that another machine needs no second format.
namespace ovir::actors {

/// An encoded frame, shared by whoever keeps or sends it. Starts at a multiple of 8.
using frame_bytes = std::shared_ptr<const std::vector<std::byte>>;

struct tensor_frame {
  frame_bytes bytes;
};

/// Whoever takes frames: the next stage, or the lead behind the last one.
using frame_sink = caf::typed_actor<caf::reacts_to<tensor_frame>>;

// Lead to stage

struct open_session;
/// Orders the stage to send the boundaries it kept of [first, first + count) to the next stage.
struct replay_boundaries {
  request_id request;
  epoch driver;
  position first{0};
  std::uint32_t count{0};
  std::uint32_t logit_rows{0};
};
/// Orders the last stage to send the logits of position `at` again.
struct resend_logits {
  request_id request;
  epoch driver;
  position at{0};
};
/// Nothing more will be computed: asks for the leaves of windows begun.
struct finish_session {
  request_id request;
  epoch driver;
};
/// The stage may forget the request.
struct close_session {
  request_id request;
};

// Stage to lead. The epoch says which driver asked; a lead takes leaves of any, progress of its
// own.

/// Answer to `open_session`: the stage holds positions [0, length).
struct session_opened {
  stage_index stage;
  epoch driver;
  position length{0};
};
struct step_done {
  stage_index stage;
  epoch driver;
  position length{0};
  std::uint64_t units{0}; ///< units this step completed, the last layer's included
  std::vector<compute::unit_leaf> leaves;
};
struct session_finished {
  stage_index stage;
  epoch driver;
  position length{0};
  std::uint64_t units{0};
  std::uint64_t kv_bytes{0};
  std::vector<compute::unit_leaf> leaves;
};
/// The stage cannot go on with the request: `peer_lost` when it lacks what was asked for and the
/// lead should start a new epoch, anything else ends the request.
struct stage_failed {
  stage_index stage;
  epoch driver;
  error reason;
};

// To the lead from others

/// The shard of a stage lives; after a crash, the new one. Empty handle: it was given up.
struct stage_up;
struct cancel_request {
  request_id request;
};
/// What a draw found: the token for position `at`, and the digest of the logits it came from.
struct token_drawn {
  position at{0};
  token_id token{0};
  digest logits;
};
/// Sent to oneself by the clock, to see whether anything moved.
struct watch_tick {};

using lead_actor = caf::typed_actor<
    caf::reacts_to<tensor_frame>, caf::reacts_to<session_opened>, caf::reacts_to<step_done>,
    caf::reacts_to<session_finished>, caf::reacts_to<stage_failed>, caf::reacts_to<stage_up>,
    caf::reacts_to<cancel_request>, caf::reacts_to<token_drawn>, caf::reacts_to<watch_tick>>;

/// What a compute job of a shard found; sent to the shard itself.
struct shard_job_done;

using shard_actor = caf::typed_actor<caf::reacts_to<tensor_frame>, caf::reacts_to<open_session>,
                                     caf::reacts_to<replay_boundaries>,
                                     caf::reacts_to<resend_logits>, caf::reacts_to<finish_session>,
                                     caf::reacts_to<close_session>, caf::reacts_to<shard_job_done>>;

/// Starts a driver's epoch at a stage. The session is made when it is not there; it is kept when it
/// is, and answers `session_opened` once the step under way has ended.
struct open_session {
  request_id request;
  epoch driver;
  stage_index stage;
  std::uint32_t positions{0}; ///< most the request will reach
  lead_actor lead;
  frame_sink next; ///< the next stage, or the lead
};

struct stage_up {
  stage_index stage;
  shard_actor handle;
  error reason; ///< why it was given up, when `handle` is empty
};

/// A request as the scheduler takes it.
struct generation_request {
  request_id id;
  std::vector<token_id> prompt; ///< at least one, all within the vocabulary
  compute::sampling_params sampling;
  std::uint32_t max_tokens{128};
  std::vector<std::string> stop;
  std::uint32_t kill_shards{0}; ///< drill
  std::uint64_t kill_seed{0};
};

enum class generation_end : std::uint8_t { stop, length, cancelled };

/// What a finished request produced.
struct generation_report {
  std::vector<token_id> tokens;
  std::string text;
  generation_end end{generation_end::length};
  digest transcript;
  std::uint32_t positions{0};                      ///< computed
  std::vector<compute::unit_leaf> leaves;          ///< what the transcript was made from ...
  std::vector<std::pair<position, digest>> logits; ///< ... in order
  std::uint64_t units_computed{0};
  std::uint32_t restarts{0};
  std::vector<std::uint64_t> kv_bytes; ///< per stage
  std::chrono::nanoseconds time_to_first_token{0};
  std::chrono::nanoseconds prefill_time{0};
  std::chrono::nanoseconds decode_time{0};
};

// To whoever asked for the generation

struct text_piece {
  request_id request;
  std::string text;
};
struct generation_done {
  request_id request;
  result<generation_report> outcome{error{}};
};

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
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::stage_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cancel_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::token_drawn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::watch_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::shard_job_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::text_piece)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::generation_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_request)
