#pragma once

#include "actors/bulk/unit_protocol_actor.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>

namespace ovir::actors {

/// The actor that executes units, a range in one handler. Announces itself to the dispatcher when
/// it starts. A unit that throws ends it; its last words, which arrive before the news of its end,
/// say which unit that was. Ranges that still wait in its mailbox are the dispatcher's to give to
/// others.
struct unit_worker_state {
  const char* name{"unit_worker"};
  unit_dispatcher_actor dispatcher;
  std::shared_ptr<const unit_work> work;
};

[[nodiscard]] unit_worker_actor::behavior_type
unit_worker_behavior(unit_worker_actor::stateful_pointer<unit_worker_state> self,
                     unit_dispatcher_actor dispatcher, std::shared_ptr<const unit_work> work);

} // namespace ovir::actors
