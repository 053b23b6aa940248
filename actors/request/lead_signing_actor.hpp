#pragma once

#include "actors/request/lead_cache_actor.hpp"
#include "messages/ids.hpp"

namespace ovir::actors {

/// Signs to the first stage which tokens it was sent, behind the tokens themselves: at the desk, so
/// that no token waits for it. `first` is where the frame began: guesses that were right lie
/// between it and what was signed last. Without `all` only where a signature is due: every
/// `limits::link_signature_positions`, and of a stage on the lead's own node at a window's end.
/// Does nothing for a request without a receipt.
void sign_tokens(lead_pointer self, position first, position end, bool all);

/// The stages are told all that was signed to them below `end`, and asked for all that they signed:
/// evidence is sent once, and may be lost with a link. `all`: the request has ended there.
void ask_for_statements(lead_pointer self, position end, bool all);

/// What the stages state by the first `frames` of evidence becomes a receipt of a part, unless one
/// has it: it was paid for, and is audited, though another takes its place or the rest is missing.
/// At most limits::receipt_parts_max of a request.
void part_with_statements(lead_pointer self, std::size_t frames);
/// Notes who stated what in the frame of evidence that came last. If it takes back what a stage had
/// stated, a receipt of a part is made of that first.
void note_statements(lead_pointer self, const frame_bytes& frame);
/// Each tick of a request that is signed for: leaves a stage that computed more than
/// limits::link_signature_positions beyond a window which it does not state, where another may take
/// its place; the next time the one before it, without whose signature it cannot.
void watch_statements(lead_pointer self);
/// There is no receipt. Who withheld a statement, or a signature, is used less from now on.
void blame_for_receipt(lead_pointer self);

} // namespace ovir::actors
