#include "actors/request/lead_drafts_actor.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

namespace {

/// A chunk of what the run lacks; others' steps come between two of them.
void prepare_run(lead_pointer self) {
  lead_state& state = self->state;
  state.drafts.busy = true;
  const auto history = state.core->history();
  state.environment.drafts.executor->post(
      [lead = lead_actor{self}, run = state.drafts.run,
       known = std::vector<token_id>{history.begin(), history.end()}](
          compute::parallel_runner& runner) {
        caf::anon_send(lead, guess_made{0, {}, run->prepare(known, runner)});
      });
}

} // namespace

void open_drafts(lead_pointer self, const generation_request& request) {
  lead_state& state = self->state;
  const draft_access& by = state.environment.drafts;
  if (by.model == nullptr || request.drafts == speculation::off || request.embedding) {
    return;
  }
  const auto positions = static_cast<std::uint32_t>(request.prompt.size()) + request.max_tokens;
  state.drafts.run = draft_model::open(by.model, positions, request.sampling);
}

void start_drafts(lead_pointer self) {
  if (self->state.drafts.run != nullptr) {
    self->state.core->use_model();
    prepare_run(self);
  }
}

bool order_guess(lead_pointer self, const guess_effect& e) {
  lead_state& state = self->state;
  if (state.drafts.run == nullptr || state.drafts.busy || state.drafts.run->failed()) {
    return false;
  }
  const auto history = state.core->history();
  if (!state.drafts.run->is_ready(history.size())) {
    prepare_run(self);
    return false;
  }
  state.drafts.busy = true;
  state.drafts.ordered = state.environment.env->now();
  state.environment.drafts.executor->post(
      [lead = lead_actor{self}, run = state.drafts.run, e, output = state.core->output_count(),
       known = std::vector<token_id>{history.begin(), history.end()}](
          compute::parallel_runner& runner) {
        caf::anon_send(lead, guess_made{e.at, run->guess(known, output, e.count, runner), false});
      });
  return true;
}

void take_guess(lead_pointer self, const guess_made& e) {
  lead_state& state = self->state;
  state.drafts.busy = false;
  if (e.lacks_more) {
    prepare_run(self);
  } else if (e.at > 0) { // the step that carries it takes longer by that
    state.drafts.took = state.environment.env->now() - state.drafts.ordered;
  }
}

} // namespace ovir::actors
