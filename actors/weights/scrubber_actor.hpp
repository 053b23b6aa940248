#pragma once

#include "actors/bulk/unit_protocol_actor.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/runtime/log.hpp"
#include "actors/weights/scrub_core.hpp"
#include "messages/limits/fetch.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>

#include <chrono>
#include <functional>
#include <vector>

namespace ovir::actors {

/// To itself: the next pieces are due.
struct scrub_tick {};

struct scrubber_environment {
  model_catalog* models{nullptr};
  log* journal{nullptr};
  /// The pool of work units, as it is at the moment; may be empty.
  std::function<unit_dispatcher_actor()> pool;
  std::chrono::milliseconds interval{limits::scrub_interval};
};

using scrubber_actor = unit_client_actor::extend<caf::reacts_to<scrub_tick>>;

/// Hashes the files of the weights that this node holds again and again, a few pieces at a time, on
/// the pool of work units, so that a disk that rots is found before the node starts from it or
/// serves it. Weights that were packed to memory are not looked at. The log has each damaged piece
/// once.
struct scrubber_state {
  const char* name{"scrubber"};
  scrubber_environment environment;
  scrub_core core;
  std::vector<scrub_core::part> parts;
  std::vector<scrub_core::piece> under_way; ///< the batch that is not back yet
  batch_id batch{0};
};

[[nodiscard]] scrubber_actor::behavior_type
scrubber_behavior(scrubber_actor::stateful_pointer<scrubber_state> self,
                  scrubber_environment environment);

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::scrub_tick)
