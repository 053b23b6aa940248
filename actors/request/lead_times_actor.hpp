#pragma once

#include "actors/request/lead_actor.hpp"
#include "messages/wire/frame.hpp"

namespace ovir::actors {

// When things of a request happened: for its trace, for patience with its stages, and for what the
// pathfinder is to believe of their speeds.

/// Tokens go to the first stage.
void note_fed(lead_pointer self, const tokens_effect& e);
/// A stage says how far it is.
void note_step(lead_pointer self, const from_stage<step_done>& e);
/// An answer came that ends at `length` positions.
void note_answer(lead_pointer self, epoch driver, position first, position length);

/// Where the deadline that its client gave cannot be met on the path that was found first, with so
/// many positions of the prompt to compute.
[[nodiscard]] std::optional<error> missed_deadline(const lead_state& state, position positions);
/// A stage has opened. Once all have, and tokens go to them for the first time, it is known what
/// came from a cache: then a deadline that cannot be met ends the request.
[[nodiscard]] lead_core::effects opened_in_time(lead_state& state,
                                                const from_stage<session_opened>& e);
/// The request is over: how long it took, beside what was predicted of it.
void note_took(const lead_state& state);
/// What the deadline that its client gave leaves for each token; 0 where it gave none.
[[nodiscard]] std::chrono::nanoseconds allowed_token(const lead_state& state);
/// Of the frame of tokens for the first stage.
[[nodiscard]] frame_header header_of(const lead_state& state, const tokens_effect& e);
/// A token was drawn: complains of the slowest stage where the deadline is at risk.
void watch_pace(lead_pointer self);

[[nodiscard]] inline double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

} // namespace ovir::actors
