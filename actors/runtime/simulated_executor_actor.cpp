#include "actors/runtime/simulated_executor_actor.hpp"

#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

namespace ovir::actors {

namespace {

struct run_job {
  compute_executor::job work;
};

} // namespace

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::run_job)

namespace ovir::actors {

simulated_executor::simulated_executor(caf::actor_system& system)
    : worker_(system.spawn([](caf::event_based_actor* self) {
        make_quiet(self);
        return caf::behavior{[](const run_job& message) {
          compute::serial_runner runner;
          message.work(runner);
        }};
      })) {}

simulated_executor::~simulated_executor() { caf::anon_send_exit(worker_, caf::exit_reason::kill); }

void simulated_executor::post(job work) { caf::anon_send(worker_, run_job{std::move(work)}); }

} // namespace ovir::actors
