#pragma once

#include "actors/link/admission.hpp"
#include "actors/protocol/protocol_actor.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>

namespace ovir::actors {

/// What Prometheus is told; asked with `describe_scheduler`.
struct describe_scheduler {};
struct scheduler_report {
  std::size_t running{0};
  std::size_t waiting{0};
  std::uint64_t refused{0}; ///< because too many waited
};

struct scheduler_state {
  struct active {
    caf::actor requester;
    caf::actor lead; ///< empty until it is started
    bool cancelled{false};
  };
  const char* name{"scheduler"};
  admission admitted;
  std::uint64_t refused{0};
  std::map<request_id, submit_request> waiting;
  std::map<request_id, active> running;
  std::function<void(caf::event_based_actor*, const submit_request&,
                     std::function<void(result<caf::actor>)>)>
      launch;
};

using scheduler_pointer = caf::stateful_actor<scheduler_state>*;

/// Starts the lead of a request under whoever supervises leads, and calls back on the scheduler's
/// own turn with its handle.
using lead_launcher = decltype(scheduler_state::launch);

/// Admits requests: starts a lead for each up to limits::requests_active_max, lets others wait up
/// to limits::requests_waiting_max, answers `generation_done` with `busy` beyond. A lead that dies
/// without a word is reported to its requester as `peer_lost`. Takes `submit_request` and
/// `cancel_request`.
[[nodiscard]] caf::behavior scheduler_behavior(scheduler_pointer self, lead_launcher launch);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::describe_scheduler)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::scheduler_report)
