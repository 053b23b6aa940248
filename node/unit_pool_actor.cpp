#include "actors/bulk/unit_dispatcher_actor.hpp"
#include "actors/bulk/unit_worker_actor.hpp"
#include "messages/caf/spawn_apart.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "node/unit_pool.hpp"
#include "supervision/supervisor.hpp"

#include <caf/all.hpp>

#include <fmt/format.h>

namespace ovir::supervision {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds worker_shutdown{500};

/// Workers die of their units, and that is ordinary here: with one unit in a hundred crashing, a
/// pool of ten million units a second restarts a hundred thousand workers in each of them. Such a
/// loop cannot go on for ever, because each unit ends at most `limits::unit_attempts_max` workers;
/// so there is no back-off, during which a processor would be idle, and the intensity only stops
/// workers that die without any work to blame.
restart_policy worker_policy() { return {limits::unit_restarts_max, limits::unit_restart_window}; }

supervisor_spec workers_tree(const unit_pool_options& options,
                             const actors::unit_dispatcher_actor& dispatcher,
                             const std::shared_ptr<const actors::unit_work>& work) {
  supervisor_spec spec{"workers", strategy::one_for_one, worker_policy(), {}, {}};
  for (std::uint32_t i = 0; i < options.workers; ++i) {
    child_spec worker;
    worker.rules = {fmt::format("worker-{}", i), restart_kind::permanent, worker_shutdown};
    worker.start = [dispatcher, work,
                    detached = options.detached](caf::actor_system& system) -> result<caf::actor> {
      return caf::actor_cast<caf::actor>(
          detached ? spawn_apart(system, actors::unit_worker_behavior, dispatcher, work)
                   : system.spawn(actors::unit_worker_behavior, dispatcher, work));
    };
    spec.children.push_back(std::move(worker));
  }
  return spec;
}

} // namespace

result<supervisor_spec> unit_pool_tree(const unit_pool_options& options,
                                       std::shared_ptr<const actors::unit_work> work) {
  OVIR_CHECK(work != nullptr);
  if (options.workers == 0 || options.workers > limits::unit_workers_max) {
    return fail(errc::invalid_argument, "a pool has 1 to {} workers, not {}",
                limits::unit_workers_max, options.workers);
  }
  // The dispatcher starts before the workers and, rest_for_one, takes them along. Both
  // start functions run on the same supervisor's turn, so the slot needs no lock.
  auto slot = std::make_shared<actors::unit_dispatcher_actor>();
  child_spec dispatcher;
  dispatcher.rules = {std::string{unit_dispatcher_path}, restart_kind::permanent, worker_shutdown};
  dispatcher.start = [slot,
                      started = options.started](caf::actor_system& system) -> result<caf::actor> {
    *slot = system.spawn(actors::unit_dispatcher_behavior);
    if (started) {
      started(*slot);
    }
    return caf::actor_cast<caf::actor>(*slot);
  };
  child_spec workers = supervisor_child(
      {"workers", restart_kind::permanent, limits::shutdown_wait},
      [options, slot, work = std::move(work)] { return workers_tree(options, *slot, work); });
  return supervisor_spec{"units",
                         strategy::rest_for_one,
                         restart_policy{3, 5s, 100ms, 1s},
                         {std::move(dispatcher), std::move(workers)},
                         {}};
}

} // namespace ovir::supervision
