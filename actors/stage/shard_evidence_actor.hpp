#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "actors/stage/shard_actor.hpp"

namespace ovir::actors {

using shard_pointer = shard_actor::stateful_pointer<shard_state>;

// What a shard does for evidence: it hands what happened to `stage_evidence` at the signing desk,
// every few positions, and never waits for it.

/// An order to sign. One for a session that began without is void: rows would be missing. Refused
/// is one of something else than this stage computes (`check_order`).
[[nodiscard]] result<void> begin_evidence(shard_pointer self, const to_stage<sign_evidence>& order);
/// A frame of evidence from the stage before.
void take_evidence(shard_pointer self, const frame_header& header, const frame_bytes& frame);
/// A frame with work was accepted: commits to what it will be.
void commit_evidence(shard_pointer self, const frame_header& header);
/// A job ended. `step.data` says of which session.
void note_step(shard_pointer self, const shard_core::session& session, epoch driver,
               evidence_step step);
/// The request is over at this stage: hands what the stage signed to the actor that claims its pay.
void claim_evidence(shard_pointer self, request_id request);
/// The request ended.
void finish_evidence(shard_pointer self, const shard_core::session& session,
                     const std::vector<compute::unit_leaf>& open);

} // namespace ovir::actors
