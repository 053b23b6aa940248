#include "actors/shard_directory.hpp"

#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using directory_pointer = directory_actor::stateful_pointer<directory_state>;

void watch(directory_pointer self, const watch_shards& command) {
  directory_state& state = self->state;
  self->monitor(command.lead);
  state.leads.push_back(command.lead);
  for (std::uint32_t i = 0; i < state.shards.size(); ++i) {
    if (state.shards[i]) {
      self->send(command.lead, stage_up{stage_index{i}, state.shards[i], {}});
    }
  }
}

void child_changed(directory_pointer self, const child_event& event) {
  directory_state& state = self->state;
  const auto found =
      std::find(state.supervisors.begin(), state.supervisors.end(), event.supervisor);
  if (found == state.supervisors.end()) {
    return;
  }
  const auto index = static_cast<std::size_t>(found - state.supervisors.begin());
  // A shard that is merely lost comes back; its leads see its end by themselves.
  state.shards[index] = caf::actor_cast<shard_actor>(event.handle);
  if (event.what == child_event::kind::lost) {
    return;
  }
  const stage_up news{stage_index{static_cast<std::uint32_t>(index)}, state.shards[index],
                      event.reason};
  for (const lead_actor& lead : state.leads) {
    self->send(lead, news);
  }
}

} // namespace

directory_actor::behavior_type directory_behavior(directory_pointer self,
                                                  std::vector<std::string> supervisors) {
  make_quiet(self);
  self->state.supervisors = std::move(supervisors);
  self->state.shards.resize(self->state.supervisors.size());
  self->set_down_handler([self](caf::down_msg& message) {
    std::erase_if(self->state.leads,
                  [&](const lead_actor& lead) { return lead.address() == message.source; });
  });
  return {
      [self](const watch_shards& command) { watch(self, command); },
      [self](const child_event& event) { child_changed(self, event); },
  };
}

} // namespace ovir::actors
