#include "actors/request/lead_signing_actor.hpp"

#include "actors/stage/stage_evidence.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <vector>

namespace ovir::actors {

void sign_tokens(lead_pointer self, position first, position end, bool all) {
  lead_state& state = self->state;
  if (state.signing.terms == nullptr) {
    return;
  }
  // A stage of this node has this lead's key: a window that is not complete binds nobody to
  // anybody.
  const node_id& stage = state.path.front().node;
  const bool own = stage.empty() || stage == state.signing.terms->desk().key->id();
  const std::uint32_t grain = own ? limits::window_positions : limits::link_signature_positions;
  end = own && !all ? end / grain * grain : end;
  first = std::min(first, state.signing.tokens_signed);
  if ((first / grain == end / grain && !all) || first >= end) {
    return;
  }
  state.signing.tokens_signed = end;
  const position from = first / limits::window_positions * limits::window_positions;
  const auto known = state.core->history().subspan(from, end - from);
  state.environment.desk->executor->post(
      [evidence = state.signing.terms, tokens = std::vector<token_id>{known.begin(), known.end()},
       first, end, stage = state.path.front().handle, request = state.request,
       driver = state.core->current_epoch()](compute::parallel_runner&) {
        caf::anon_send(stage, tensor_frame{evidence_frame(
                                  request, driver, evidence->sign_tokens(tokens, first, end))});
      });
}

void ask_for_statements(lead_pointer self) {
  lead_state& state = self->state;
  state.signing.tokens_signed = 0;
  sign_tokens(self, 0, static_cast<position>((*state.finish.outcome)->positions), true);
  for (const path_stage& stage : state.path) {
    tell_stage(self, stage.handle, sign_evidence{state.signing.terms->order()});
  }
}

} // namespace ovir::actors
