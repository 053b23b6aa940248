#include "actors/request/lead_faults_actor.hpp"

#include "actors/request/lead_counts_actor.hpp"
#include "messages/limits/paths.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

bool within_a_process(const lead_state& state) {
  return std::any_of(state.path.begin(), state.path.end(),
                     [](const path_stage& stage) { return stage.node.empty(); });
}

/// What a stage may say of itself, and no more: that bytes contradict each other, that the client
/// withdrew, or that this scheduler no longer drives the request is not its to say.
error words_of(const error& said) {
  const bool reserved = said.code == errc::digest_mismatch || said.code == errc::cancelled;
  return reserved ? error{errc::internal, "a stage says: " + said.message} : said;
}

} // namespace

void complain(lead_pointer self, stage_index stage, error reason) {
  lead_state& state = self->state;
  state.faults.last_trouble = reason;
  trace_now(state, [&](request_trace& trace, request_trace::time now) {
    trace.take_trouble(now, stage.value, reason.message);
  });
  self->send(state.environment.paths,
             path_trouble{state.request, state.path[stage.value].handle, std::move(reason)});
}

void blame(lead_pointer self, stage_index stage, const error& reason) {
  lead_state& state = self->state;
  if (stage.value >= state.path.size() || !state.path[stage.value].handle) {
    return; // it is lost already
  }
  // That another scheduler drives the request is this one's to find out: it goes on.
  if (reason.code != errc::superseded) {
    state.faults.blamed = reason;
    state.faults.blamed_since = state.watch.ticks;
  }
  complain(self, stage, reason);
}

void accuse_former(lead_pointer self, const accuse_effect& e) {
  lead_state& state = self->state;
  if (e.host < state.faults.hosts.size()) {
    self->send(state.environment.paths,
               path_trouble{state.request, state.faults.hosts[e.host].handle, e.reason});
  }
}

lead_core::effects stage_refused(lead_pointer self, const from_stage<stage_failed>& e) {
  lead_state& state = self->state;
  const bool current = e.driver == state.core->current_epoch() && e.stage.value < state.path.size();
  const bool elsewhere = e.reason.code == errc::busy || e.reason.code == errc::segment_missing;
  if (current && elsewhere) {
    complain(self, e.stage, e.reason);
    return state.core->on_stage_down(e.stage);
  }
  if (!current || within_a_process(state)) {
    return state.core->on_failed(e);
  }
  const node_id& node = state.path[e.stage.value].node;
  if (e.reason.code == errc::nonfinite) { // as computing it again would, where it is true
    if (state.faults.nonfinite_at.value_or(node) != node) {
      return state.core->fail_with(e.reason);
    }
    state.faults.nonfinite_at = node;
  }
  return state.core->on_failed({{words_of(e.reason)}, e.stage, e.driver});
}

std::vector<stage_place> places_now(lead_state& state) {
  if (within_a_process(state)) {
    return {};
  }
  std::vector<stage_place> places;
  for (const path_stage& stage : state.path) {
    auto known = std::find_if(state.faults.hosts.begin(), state.faults.hosts.end(),
                              [&](const path_stage& host) { return host.node == stage.node; });
    if (known == state.faults.hosts.end() &&
        state.faults.hosts.size() < limits::hosts_per_request_max) {
      known = state.faults.hosts.insert(known, stage);
    } else if (known == state.faults.hosts.end()) {
      known = state.faults.hosts.end() - 1;
    }
    known->handle = stage.handle ? stage.handle : known->handle;
    places.push_back(
        {stage.layers, static_cast<std::uint32_t>(known - state.faults.hosts.begin())});
  }
  return places;
}

std::optional<error> unanswered_fault(const lead_state& state) {
  if (!state.faults.blamed || (state.watch.ticks - state.faults.blamed_since) * limits::lead_tick <
                                  limits::fault_patience) {
    return std::nullopt;
  }
  return in_context("no other node can take the place of a stage at fault", *state.faults.blamed);
}

std::uint64_t progress_of(const lead_state& state) {
  return state.path.empty() || within_a_process(state) ? state.watch.progress : state.core->moves();
}

} // namespace ovir::actors
