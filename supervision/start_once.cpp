#include "supervision/start_once.hpp"

#include "messages/caf/errors.hpp"
#include "supervision/supervisor.hpp"

#include <caf/all.hpp>

#include <memory>
#include <mutex>
#include <utility>

namespace ovir::supervision {

namespace {

/// Of one start, between who waits for it and the supervisor.
struct start_ticket {
  std::mutex guard;
  bool given_up{false};
  caf::actor made;
};

} // namespace

void start_once(caf::event_based_actor* self, const caf::actor& supervisor, child_spec spec,
                std::chrono::milliseconds wait,
                const std::function<void(result<caf::actor>)>& done) {
  const auto ticket = std::make_shared<start_ticket>();
  spec.start = [start = std::move(spec.start),
                ticket](caf::actor_system& system) -> result<caf::actor> {
    const std::lock_guard lock{ticket->guard};
    if (ticket->given_up) {
      return fail(errc::timed_out, "it was waited for too long, and is not started any more");
    }
    auto made = start(system);
    if (made) {
      ticket->made = *made;
    }
    return made;
  };
  self->request(supervisor, wait, start_child{std::move(spec)})
      .then([done](caf::actor& made) { done(std::move(made)); },
            [done, ticket](const caf::error& reason) {
              caf::actor made;
              {
                const std::lock_guard lock{ticket->guard};
                ticket->given_up = true;
                made = ticket->made;
              }
              done(made ? result<caf::actor>{std::move(made)}
                        : result<caf::actor>{from_caf(reason)});
            });
}

} // namespace ovir::supervision
