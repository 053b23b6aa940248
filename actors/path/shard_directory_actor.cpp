#include "actors/path/shard_directory_actor.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/check.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using directory_pointer = directory_actor::stateful_pointer<directory_state>;

bool is_whole(const directory_state& state) {
  return std::all_of(state.stages.begin(), state.stages.end(),
                     [](const path_stage& stage) { return bool{stage.handle}; });
}

void watch(directory_pointer self, const watch_path& command) {
  directory_state& state = self->state;
  if (command.twin != twin_rule::alone) {
    self->send(command.lead,
               path_lost{{errc::unsupported,
                          "tokens are told only after two paths without a common node computed "
                          "them, and this process alone makes one; ask a cluster, or ask with "
                          "reveal at_once"}});
    return;
  }
  self->monitor(command.lead);
  state.leads.push_back(command.lead);
  if (is_whole(state)) {
    self->send(command.lead, path_found{state.stages});
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
  state.stages[index].handle = caf::actor_cast<shard_actor>(event.handle);
  for (const lead_actor& lead : state.leads) {
    if (event.what == child_event::kind::abandoned) {
      self->send(lead, path_lost{{errc::restarts_exhausted,
                                  fmt::format("stage {} crashed too often and was given up ({}); "
                                              "the request is lost, later ones are served once it "
                                              "is back",
                                              index, event.reason.message)}});
    } else if (is_whole(state)) {
      self->send(lead, path_found{state.stages});
    }
  }
}

} // namespace

directory_actor::behavior_type directory_behavior(directory_pointer self,
                                                  std::vector<std::string> supervisors,
                                                  const std::vector<layer_range>& segments) {
  OVIR_CHECK(supervisors.size() == segments.size(), supervisors.size(), segments.size());
  make_quiet(self);
  self->state.supervisors = std::move(supervisors);
  for (const layer_range& layers : segments) {
    self->state.stages.push_back({shard_actor{}, {}, layers});
  }
  self->set_down_handler([self](caf::down_msg& message) {
    std::erase_if(self->state.leads,
                  [&](const lead_actor& lead) { return lead.address() == message.source; });
  });
  return {
      [self](const watch_path& command) { watch(self, command); },
      [](const path_trouble&) {}, // the shard's supervisor sees to it
      [](const steps_seen&) {},   // there is one path
      [self](const child_event& event) { child_changed(self, event); },
  };
}

} // namespace ovir::actors
