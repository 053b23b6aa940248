#pragma once

#include "actors/verifier.hpp"

/// What the verifier's actor tells the ledger.
namespace ovir::actors {

/// Remembers a conviction for the ledger: a verifier vouches for what it computed itself, and hands
/// in what convicts by itself.
void note_for_ledger(verifier_pointer self, const conviction& c);
/// Hands those on once somebody is there to take them.
void tell_ledger(verifier_pointer self);

/// For Prometheus: after whatever may have changed it.
void note_counts(const verifier_state& state);

} // namespace ovir::actors
