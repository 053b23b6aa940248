#pragma once

#include "actors/request/lead_actor.hpp"

namespace ovir::actors {

// What would be needed to go on with a request without its lead: on this node's disk, and at the
// node of the first stage.

/// Writes the request down; a disk that takes nothing costs the log, not the answer.
void begin_journal(lead_state& state);
/// A token that no log has.
void log_drawn(lead_pointer self, std::uint32_t index, const drawn_token& drawn);
/// Its client cancelled it: this node does not go on with it after a crash.
void withdraw_journal(lead_state& state);
/// Nor has the first stage's node another scheduler do so. Precondition: there is a first stage.
void withdraw_at_stage(lead_pointer self);
/// The request is over.
void end_journal(lead_state& state);

} // namespace ovir::actors
