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

/// While the request's end waits for statements: its stages are told all that was signed to them,
/// and asked for all that they signed.
void ask_for_statements(lead_pointer self);

} // namespace ovir::actors
