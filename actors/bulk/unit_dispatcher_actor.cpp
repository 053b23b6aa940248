#include "actors/bulk/unit_dispatcher_actor.hpp"

#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

namespace ovir::actors {

namespace {

using dispatcher_pointer = unit_dispatcher_actor::stateful_pointer<unit_dispatcher_state>;

void perform(dispatcher_pointer self, unit_pool_core::effects&& effects) {
  unit_dispatcher_state& state = self->state;
  for (unit_pool_effect& effect : effects) {
    if (auto* assign = std::get_if<assign_effect>(&effect)) {
      self->send(state.workers.at(assign->worker.value), std::move(assign->range));
    } else if (auto* finish = std::get_if<batch_done_effect>(&effect)) {
      self->send(state.clients.at(finish->client.value),
                 batch_done{finish->batch, std::move(finish->failures)});
    }
  }
}

/// Actors' ids are never reused within a system, so they serve as keys.
unit_worker_key sender_key(dispatcher_pointer self) {
  return unit_worker_key{self->current_sender() == nullptr ? 0 : self->current_sender()->id()};
}

void submit(dispatcher_pointer self, submit_batch& command) {
  unit_dispatcher_state& state = self->state;
  const unit_client_key client{command.client.id()};
  auto effects = state.core.submit(client, command.batch, std::move(command.units));
  if (!effects) {
    self->send(command.client, batch_refused{command.batch, effects.error()});
    return;
  }
  if (state.clients.try_emplace(client.value, command.client).second) {
    self->monitor(command.client);
  }
  perform(self, std::move(*effects));
}

void join(dispatcher_pointer self, const unit_worker_actor& worker) {
  self->state.workers.insert_or_assign(worker.id(), worker);
  self->monitor(worker);
  perform(self, self->state.core.worker_joined(unit_worker_key{worker.id()}));
}

void someone_ended(dispatcher_pointer self, const caf::down_msg& message) {
  unit_dispatcher_state& state = self->state;
  const caf::actor_id id = message.source.id();
  if (state.workers.erase(id) != 0) {
    perform(self, state.core.worker_left(unit_worker_key{id}));
  }
  if (state.clients.erase(id) != 0) {
    state.core.client_left(unit_client_key{id});
  }
}

} // namespace

unit_dispatcher_actor::behavior_type unit_dispatcher_behavior(dispatcher_pointer self) {
  make_quiet(self);
  self->set_down_handler([self](caf::down_msg& message) { someone_ended(self, message); });
  return {
      [self](submit_batch& command) { submit(self, command); },
      [self](const worker_ready& ready) { join(self, ready.worker); },
      [self](range_done& report) {
        perform(self, self->state.core.done(sender_key(self), std::move(report)));
      },
      [self](range_crashed& report) {
        perform(self, self->state.core.crashed(sender_key(self), std::move(report)));
      },
  };
}

} // namespace ovir::actors
