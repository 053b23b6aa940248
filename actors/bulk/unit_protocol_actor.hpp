#pragma once

#include "actors/bulk/work_unit.hpp"
#include "messages/error.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

/// What the actors of a pool of work units say to one another. All of it stays in the process.
namespace ovir::actors {

/// To the client: every unit of the batch finished exactly once, all of them well but these.
struct batch_done {
  batch_id batch;
  std::vector<unit_failure> failures; ///< by index
};
/// To the client: the batch was not taken. `busy`: the pool is full; submit it again when another
/// one is done.
struct batch_refused {
  batch_id batch;
  error reason;
};
using unit_client_actor =
    caf::typed_actor<caf::reacts_to<batch_done>, caf::reacts_to<batch_refused>>;

/// From a client, which is answered by `batch_done` or `batch_refused`. It should monitor the
/// dispatcher, whose end takes unfinished batches along.
struct submit_batch {
  batch_id batch;
  shared_batch units;
  unit_client_actor client;
};

using unit_worker_actor = caf::typed_actor<caf::reacts_to<unit_range>>;

/// From a worker: it has started and has no work.
struct worker_ready {
  unit_worker_actor worker;
};
using unit_dispatcher_actor =
    caf::typed_actor<caf::reacts_to<submit_batch>, caf::reacts_to<worker_ready>,
                     caf::reacts_to<range_done>, caf::reacts_to<range_crashed>>;

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::batch_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::batch_refused)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::submit_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::unit_range)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::worker_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::range_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::range_crashed)
