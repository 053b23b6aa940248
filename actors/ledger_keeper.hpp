#pragma once

#include "actors/kept_ledger.hpp"
#include "actors/log.hpp"
#include "actors/peers.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

namespace ovir::actors {

/// What waits becomes a batch.
struct ledger_batch {};
struct ledger_tick {};

struct ledger_keeper_environment {
  kept_ledger* kept{nullptr}; ///< outlives the actor
  peers* links{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
};

/// The actor that keeps the ledger: a shell around `ledger::keeper`. A batch is what came while the
/// one before was written (group commit): one sync, one signature. What time makes possible is
/// looked for twice a second, and then the head is told and kept.
struct ledger_keeper_state {
  const char* name{"ledger"};
  ledger_keeper_environment environment;
  bool batching{false}; ///< a `ledger_batch` is under way
  bool failed{false};   ///< a write failed; the log is read again at the next tick
};

using ledger_keeper_pointer = caf::stateful_actor<ledger_keeper_state>*;

/// Spawned detached: it waits for the disk.
[[nodiscard]] caf::behavior ledger_keeper_behavior(ledger_keeper_pointer self,
                                                   ledger_keeper_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_tick)
