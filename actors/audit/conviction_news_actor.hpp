#pragma once

#include "actors/audit/verifier_actor.hpp"

/// What a node tells others about audits besides questions and answers: who was convicted, and how
/// far a verifier trusts whom. Functions of the actor in verifier.cpp.
namespace ovir::actors {

/// Nothing where the message would be too large or `to` is gone.
void send_audit(verifier_pointer self, const node_id& to, const audit_message& message);

/// A conviction, and before it the join tokens of those it names, for nodes that never met them.
void send_conviction(verifier_pointer self, const node_id& to, const conviction& c);
/// Likewise the tokens of these nodes, as far as they are known here.
void show_tokens(verifier_pointer self, const node_id& to, const std::set<node_id>& of);

[[nodiscard]] audit_report describe_audits(const verifier_state& state);

// Convictions that others missed. Who was away, or did not get one, is told which there are, and is
// sent those it lacks.

/// Before `members` of the state becomes `now`: those who came are told at once.
void tell_those_who_came(verifier_pointer self, const members_view& now);
/// At every tick: somebody, by lot, each limits::convictions_told_every.
void tell_somebody(verifier_pointer self);
void take_known(verifier_pointer self, const node_id& from, const audit_known& known);

// Reputation.

[[nodiscard]] bool is_verifier(verifier_pointer self, const node_id& node);
/// At every tick of a verifier: schedulers, each limits::standing_told_every.
void tell_standing(verifier_pointer self);
/// For this node's planner. From a verifier alone.
void take_standing(verifier_pointer self, const node_id& from, const audit_standing& told);

} // namespace ovir::actors
