#pragma once

#include "actors/request/lead_actor.hpp"

/// What a lead has to do with the model that guesses for its request.
namespace ovir::actors {

/// Opens a run of the draft model, where the node has one and the request wants guesses.
void open_drafts(lead_pointer self, const generation_request& request);
/// Begins with the prompt, before the core's first event.
void start_drafts(lead_pointer self);
/// Orders a guess. False: there can be none now.
[[nodiscard]] bool order_guess(lead_pointer self, const guess_effect& e);
/// What the run found; the rest of the history, where it lacks some.
void take_guess(lead_pointer self, const guess_made& e);

} // namespace ovir::actors
