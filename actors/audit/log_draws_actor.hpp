#pragma once

#include "actors/audit/verifier_actor.hpp"

/// Audits as the ledger's log draws them: receipts wait for the draw and go to who has to look,
/// links are published, and who looked says so in the log.
namespace ovir::actors {

/// From the actor of this node that reads the log.
void take_log_news(verifier_pointer self, const ledger::audit_news& news);
/// Whether a receipt of this node's own request waits for the draw now.
[[nodiscard]] bool waits_for_draw(verifier_pointer self, const receipt& r,
                                  const verifier_state::receipt_bytes& bytes);
/// A unit that this node had to look at, in a stage that begins with `layer`: it did.
void enter_audit(verifier_pointer self, const receipt& r,
                 const verifier_state::receipt_bytes& bytes, const drawn_audits::duty& which,
                 layer_index layer);
/// Of a receipt that was drawn: the layers that this node has to look at and has not. It is offered
/// again until they are here.
void fetch_drawn_layers(verifier_pointer self, const receipt& r);
void layers_ended(verifier_pointer self, const drawn_layers_ended& e);
/// Offers, links and commitments that are due.
void tend_draws(verifier_pointer self);

} // namespace ovir::actors
