#pragma once

#include "actors/verifier.hpp"
#include "compute/receipt_replay.hpp"

/// What the verifier's actor computes again, and what it tells the ledger and Prometheus.
namespace ovir::actors {

/// Units of a receipt computed again with the model, every weight of which was looked at, that this
/// node has as a whole; `segment_missing` where it has not.
[[nodiscard]] result<compute::replay_outcome> replay(verifier_pointer self, const receipt& r,
                                                     const compute::replay_bounds& bounds);

/// Remembers a conviction for the ledger: a verifier vouches for what it computed itself, and hands
/// in what convicts by itself.
void note_for_ledger(verifier_pointer self, const conviction& c);
/// Hands those on once somebody is there to take them.
void tell_ledger(verifier_pointer self);

/// For Prometheus: after whatever may have changed it.
void note_counts(const verifier_state& state);

} // namespace ovir::actors
