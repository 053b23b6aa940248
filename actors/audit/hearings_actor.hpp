#pragma once

#include "actors/audit/verifier_actor.hpp"

/// How a node that is about to be convicted is heard, on both sides (ledger/rules/hearing.hpp).
/// Functions of the actor in verifier_actor.cpp.
namespace ovir::actors {

// At the verifier.

/// `draft` holds: it is told to the accused, and published when that is over. `outcome`: what the
/// window of a replay came to here.
void begin_hearing(verifier_pointer self, conviction draft, const digest& outcome);
void take_defence(verifier_pointer self, const node_id& from, const audit_defence& said);
/// Whether it answered a question of a hearing.
[[nodiscard]] bool take_further_answer(verifier_pointer self, const node_id& from,
                                       const audit_answer& a);
/// Whether it gave its verdict in one.
[[nodiscard]] bool take_further_vouch(verifier_pointer self, const node_id& from,
                                      const audit_vouch& v);
/// At every tick: whoever was to speak and did not.
void tend_hearings(verifier_pointer self);

// At the accused.

/// Waits for its turn; only from a verifier, and only about this node.
void take_accusation(verifier_pointer self, const node_id& from, audit_accusation&& a);
/// Computes again what it stated and says what came of it; nothing where it cannot.
void plead(verifier_pointer self, const verifier_state::accusation& a);

} // namespace ovir::actors
