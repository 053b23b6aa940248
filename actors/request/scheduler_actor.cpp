#include "actors/request/scheduler_actor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

void refuse(scheduler_pointer self, const caf::actor& requester, request_id id, error reason) {
  self->send(requester, generation_done{id, std::move(reason)});
}

void start(scheduler_pointer self, const submit_request& command);

void ended(scheduler_pointer self, request_id id) {
  self->state.running.erase(id);
  if (const auto next = self->state.admitted.done(id)) {
    const submit_request command = self->state.waiting.at(*next);
    self->state.waiting.erase(*next);
    start(self, command);
  }
}

void lead_started(scheduler_pointer self, request_id id, const result<caf::actor>& lead) {
  scheduler_state::active& active = self->state.running.at(id);
  if (!lead) {
    refuse(self, active.requester, id, lead.error());
    ended(self, id);
    return;
  }
  active.lead = *lead;
  self->monitor(active.lead);
  if (active.cancelled) {
    self->send(active.lead, cancel_request{id});
  }
}

void start(scheduler_pointer self, const submit_request& command) {
  const request_id id = command.request.id;
  self->state.running[id].requester = command.requester;
  self->state.launch(self, command,
                     [self, id](const result<caf::actor>& lead) { lead_started(self, id, lead); });
}

void submit(scheduler_pointer self, const submit_request& command) {
  scheduler_state& state = self->state;
  const request_id id = command.request.id;
  if (state.running.contains(id) || state.waiting.contains(id)) {
    refuse(self, command.requester, id,
           fail(errc::invalid_argument, "request {} runs already", id.value));
    return;
  }
  switch (state.admitted.submit(id)) {
  case admission::answer::start: return start(self, command);
  case admission::answer::wait: state.waiting.emplace(id, command); return;
  case admission::answer::busy:
    ++state.refused;
    refuse(self, command.requester, id,
           fail(errc::busy, "{} requests run and {} wait; try again later", state.admitted.active(),
                state.admitted.waiting()));
  }
}

void cancel(scheduler_pointer self, request_id id) {
  scheduler_state& state = self->state;
  if (state.admitted.withdraw(id)) {
    const auto waiting = state.waiting.find(id);
    refuse(
        self, waiting->second.requester, id,
        fail(errc::cancelled, "request {} was withdrawn while it waited for its turn", id.value));
    state.waiting.erase(waiting);
    return;
  }
  const auto running = state.running.find(id);
  if (running == state.running.end()) {
    return;
  }
  running->second.cancelled = true;
  if (running->second.lead) {
    self->send(running->second.lead, cancel_request{id});
  }
}

void lead_down(scheduler_pointer self, const caf::down_msg& message) {
  auto& running = self->state.running;
  const auto found = std::find_if(running.begin(), running.end(), [&](const auto& entry) {
    return entry.second.lead && entry.second.lead.address() == message.source;
  });
  if (found == running.end()) {
    return;
  }
  if (message.reason) {
    refuse(self, found->second.requester, found->first,
           fail(errc::peer_lost, "the driver of request {} ended: {}; try again",
                found->first.value, from_caf(message.reason).message));
  }
  ended(self, found->first);
}

} // namespace

caf::behavior scheduler_behavior(scheduler_pointer self, lead_launcher launch) {
  make_quiet(self);
  self->state.launch = std::move(launch);
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  return {
      [self](const submit_request& command) { submit(self, command); },
      [self](const cancel_request& command) { cancel(self, command.request); },
      [self](const describe_scheduler&) {
        const scheduler_state& state = self->state;
        return scheduler_report{state.admitted.active(), state.admitted.waiting(), state.refused};
      },
  };
}

} // namespace ovir::actors
