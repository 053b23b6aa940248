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

/// Where the deadline that its client gave cannot be met on the path that was found first. What may
/// come from a cache is not counted.
[[nodiscard]] std::optional<error> missed_deadline(const lead_state& state);
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
