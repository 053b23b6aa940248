#pragma once

#include "actors/audit/verifier_actor.hpp"

#include <span>

/// What a verifier found and has not settled outlives its crash: the receipt is kept, and audited
/// again by the next life. Functions of the actor in verifier_actor.cpp.
namespace ovir::actors {

/// Something in this receipt is not as it should be.
void keep_open(verifier_pointer self, std::span<const std::byte> receipt);
/// What an earlier life left: as receipts that wait.
void resume_open(verifier_pointer self);
/// This one was looked at again; what came of it is a case, a hearing, or nothing.
void note_resumed(verifier_pointer self, const waiting_receipt& done);
/// At every tick: forgets receipts that no case and no hearing is about, and looks again at those
/// whose model was not here.
void tend_open(verifier_pointer self);

} // namespace ovir::actors
