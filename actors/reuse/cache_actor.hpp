#pragma once

#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/reuse/cache_tiers.hpp"
#include "actors/reuse/flight_table.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "storage/env/env.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace ovir::actors {

/// What the cache works with; outlives it. The two executors have a thread each.
struct cache_environment {
  std::shared_ptr<cache_tiers> tiers;
  compute_executor* front{nullptr}; ///< lookups, in the order asked, with what was kept before
  compute_executor* back{nullptr};  ///< commits, each of which waits for the disk
  storage::env* env{nullptr};
  std::function<void(const std::string&)> warn; ///< from any thread
  /// Who fetches from other nodes (actors/reuse/block_exchange_actor.hpp), as it is at the moment;
  /// may be null.
  std::function<caf::actor()> exchange{};
};

/// The actor that stages and leads ask: a shell around `cache_tiers` and `flight_table`. It never
/// reads a file itself, and no answer of it waits for a commit. When it crashes and is restarted,
/// those that waited compute for themselves, and what is kept stays.
struct cache_state {
  const char* name{"cache"};
  cache_environment environment;
  flight_table flights;
  /// A lead that asked and was not let go yet.
  struct question {
    caf::typed_response_promise<request_entered> promise;
    enter_request asked;
    request_entered answer;
  };
  struct lookup {
    caf::typed_response_promise<units_found> promise;
    find_units wanted;
    bool asked_others{false};
    fetch_told others{}; ///< what came of asking them
  };
  std::map<std::uint64_t, lookup> lookups; ///< by ticket
  std::map<request_id, question> leads;
  std::map<request_id, caf::actor_addr> watched; ///< leads, until they leave
  std::uint64_t tickets{0};
  bool commit_due{false}; ///< a commit is ordered or under way
  bool ticking{false};
};

// What jobs on the executors, and the clock, tell the actor.
struct cache_lookup_done {
  std::uint64_t ticket{0};
  units_found found;
  std::vector<wanted_window> missing{}; ///< behind them, where others may be asked
  std::uint64_t unit_us{0};             ///< what computing one takes; 0: not known
};
struct cache_answer_looked_up {
  request_id request;
  request_entered answer;
};
struct cache_commit_order {};
struct cache_commit_done {
  bool more{false}; ///< something may wait again
};
struct cache_report_ready {
  caf::typed_response_promise<cache_report> promise;
  cache_report report;
};
struct cache_flight_tick {};

[[nodiscard]] caf::behavior cache_behavior(caf::stateful_actor<cache_state>* self,
                                           cache_environment environment);

/// Writes all that waits to the disk; when no actor uses the tiers any more and the executors are
/// idle. Returns the sentences for the log.
[[nodiscard]] std::vector<std::string> flush(cache_tiers& tiers);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_lookup_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_answer_looked_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_commit_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_commit_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_report_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::cache_flight_tick)
