#pragma once

#include "actors/audit/verifier_actor.hpp"

/// What a verifier does with a receipt. It may take a while: what windows were computed from comes
/// from other nodes. At most limits::audits_under_way_max at a time, questions included.
namespace ovir::actors {

/// Draws windows of stages that can be computed here and computes them again; where their inputs
/// are not to be had, from the tokens, if the whole model is here.
void begin_audit(verifier_pointer self, waiting_receipt next);
/// Draws come from a fresh chain; cases that wait are dropped.
void begin_chain(verifier_pointer self);

} // namespace ovir::actors
