#pragma once

#include "actors/request/lead_actor.hpp"

namespace ovir::actors {

// When things of a request happened: for its trace, for patience with its stages, and for what the
// pathfinder is to believe of their speeds.

/// Tokens go to the first stage.
void note_fed(lead_pointer self, const tokens_effect& e);
/// A stage says how far it is.
void note_step(lead_pointer self, const from_stage<step_done>& e);
/// An answer came that ends at `length` positions.
void note_answer(lead_pointer self, epoch driver, position first, position length);

} // namespace ovir::actors
