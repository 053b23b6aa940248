#include "actors/bulk/unit_worker_actor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <exception>

namespace ovir::actors {

namespace {

using worker_pointer = unit_worker_actor::stateful_pointer<unit_worker_state>;

void execute(worker_pointer self, const unit_range& range) {
  const unit_worker_state& state = self->state;
  std::vector<unit_failure> wrong;
  std::uint32_t index = range.first;
  try {
    std::uint32_t attempt = range.attempt;
    for (; index < range.last; ++index) {
      const work_unit& unit = range.batch->units[index];
      const digest found = state.work->run(unit, attempt);
      attempt = 1;
      if (found != unit.expected) {
        wrong.push_back({index, unit_failure::kind::wrong, found});
      }
    }
  } catch (const std::exception& e) {
    // Thrown on, it would end this actor as well, but only after two more unwindings inside CAF,
    // which take longer than starting the next worker.
    self->send(state.dispatcher, range_crashed{range.ticket, index, std::move(wrong)});
    self->quit(make_error(errc::internal, std::string{"a work unit threw: "} + e.what()));
    return;
  }
  self->send(state.dispatcher, range_done{range.ticket, std::move(wrong)});
}

} // namespace

unit_worker_actor::behavior_type unit_worker_behavior(worker_pointer self,
                                                      unit_dispatcher_actor dispatcher,
                                                      std::shared_ptr<const unit_work> work) {
  make_quiet(self);
  self->state.dispatcher = std::move(dispatcher);
  self->state.work = std::move(work);
  self->send(self->state.dispatcher, worker_ready{unit_worker_actor{self}});
  return {[self](const unit_range& range) { execute(self, range); }};
}

} // namespace ovir::actors
