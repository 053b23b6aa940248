#pragma once

#include "actors/audit/verifier_actor.hpp"
#include "actors/audit/window_inputs_actor.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"

/// How the leader of a group that is accused of a unit shows that a member of it is the author
/// (verify/part_audit.hpp): it answers with that member's conviction, made of the verdicts against
/// itself. Functions of the actor in verifier_actor.cpp.
namespace ovir::actors {

// At the accused.

/// Sends the accuser a member's conviction, if this node has what convicts one. A member of its own
/// operator does not excuse it.
[[nodiscard]] bool show_parts(verifier_pointer self, const verifier_state::accusation& a,
                              const receipt& r, const known_inputs& inputs);

// At the verifier.

/// Whether `c` is what a node that is heard here says to it; that is looked at once.
[[nodiscard]] bool is_said_in_hearing(verifier_pointer self, const node_id& from,
                                      const conviction& c);
/// `c` holds: the leader who stated the unit is not convicted of it, if the member is of another
/// operator.
void excuse_leader(verifier_pointer self, const conviction& c);

} // namespace ovir::actors
