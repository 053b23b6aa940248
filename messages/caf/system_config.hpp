#pragma once

#include <caf/actor_system_config.hpp>
#include <caf/fwd.hpp>

#include <cstddef>

namespace ovir {

/// How CAF runs in OVIR. Settings are made here in code: `parse` is never called, so neither the
/// command line nor a `caf-application.ini` in the working directory has a say.
class system_config : public caf::actor_system_config {
public:
  /// Threads of the default work-stealing policy poll; `sharing` sleeps when idle and has the
  /// better latency beside compute threads. `worker_threads` only run short handlers.
  [[nodiscard]] static system_config threads(std::size_t worker_threads);

  /// The deterministic scheduler (`caf::scheduler::test_coordinator`) with its virtual clock.
  [[nodiscard]] static system_config simulated();

  system_config(system_config&&) = default;

private:
  system_config();
};

/// Messages one actor may handle before others get their turn; CAF's own default is no limit, with
/// which two busy actors starve a third.
inline constexpr std::size_t messages_per_turn_max = 32;

/// Makes an actor silent: an exception that escapes a handler ends it with `internal` and its text
/// instead of a line on standard error, and messages it does not know are dropped.
void make_quiet(caf::scheduled_actor* self);

} // namespace ovir
