#pragma once

#include "actors/payment/claims_book.hpp"
#include "actors/payment/kept_ledger.hpp"
#include "actors/protocol/peers_actor.hpp"
#include "actors/runtime/log.hpp"
#include "gateway/http/metrics.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/rules/proof.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// What waits becomes a batch.
struct ledger_batch {};
struct ledger_tick {};
/// Time goes by for a group of keepers.
struct group_tick {};

/// What Prometheus is told; asked with `describe_keeper`.
struct describe_keeper {};
struct keeper_report {
  ledger::keeper_counts counts;
  gateway::time_histogram commits; ///< of batches, until they last
  std::uint64_t entries{0};        ///< of the log
  std::uint64_t open_requests{0};
  std::uint64_t pending_windows{0};
  std::int64_t wall_ahead_s{0};              ///< the machine's clock less the ledger's time
  std::optional<ledger::group_report> group; ///< nothing of the only keeper
  std::uint64_t head_entries{0};             ///< under the last head that most keepers signed
};

/// From a shell: a proof of an entry, or, with a head that was seen earlier, that the log only grew
/// since, for others to check (ledger/rules/proof.hpp). Answered by `ledger_proof`.
struct prove_ledger {
  std::uint64_t entry{0};
  std::optional<ledger::signed_head> since;
};
struct ledger_proof {
  std::vector<std::byte> bytes;
};
/// From a shell: reads the whole log and checks it, beside the keeper's work; one at a time, of at
/// most limits::ledger_check_entries_max entries. Answered by `log_check`.
struct check_ledger {};
struct log_check {
  ledger::log_head head;
  std::uint64_t convictions{0};
  std::optional<ledger::log_fault> fault;
};
/// Sent to oneself: a check is over.
struct ledger_checked {
  caf::typed_response_promise<log_check> answer;
  result<log_check> outcome{error{}};
};

struct ledger_keeper_environment {
  kept_ledger* kept{nullptr}; ///< outlives the actor
  peers* links{nullptr};
  log* journal{nullptr};
  storage::env* env{nullptr};
  std::function<caf::actor()> verifier; ///< told what the log says about this node's audits
};

/// The actor that keeps the ledger: a shell around `ledger::keeper` and, of several keepers,
/// `ledger::keeper_group`. A batch is what came while the one before was written (group commit):
/// one sync, one signature. What time makes possible is looked for twice a second, and then the
/// head is told and kept.
struct ledger_keeper_state {
  const char* name{"ledger"};
  ledger_keeper_environment environment;
  bool checking{false}; ///< a check of the log is under way
  bool batching{false}; ///< a `ledger_batch` is under way
  gateway::time_histogram commits{gateway::time_histogram::of_steps};
  bool failed{false}; ///< a write failed; the log is read again at the next tick
  std::optional<storage::env::time_point> told_clock; ///< that it is off
  claims_book claims;                          ///< of stages; they say them again to a successor
  std::unique_ptr<ledger::keeper_group> group; ///< null: the only keeper
  bool led{false};                             ///< this keeper, when that was looked at last
  std::uint64_t applied{0};                    ///< size of the log at that time
  std::optional<storage::env::time_point> proposed; ///< a batch that is not in the log yet
  std::uint64_t strangers{0}; ///< words of keepers from those who are none of this ledger
};

using ledger_keeper_pointer = caf::stateful_actor<ledger_keeper_state>*;

/// Spawned apart: it waits for the disk.
[[nodiscard]] caf::behavior ledger_keeper_behavior(ledger_keeper_pointer self,
                                                   ledger_keeper_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::group_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_keeper)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::keeper_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::prove_ledger)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_proof)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::check_ledger)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::log_check)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::ledger_checked)
