#include "actors/request/lead_signing_actor.hpp"

#include "actors/request/lead_faults_actor.hpp"
#include "actors/stage/stage_evidence.hpp"
#include "messages/limits/evidence.hpp"

#include <caf/all.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
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

void ask_for_statements(lead_pointer self, position end, bool all) {
  lead_state& state = self->state;
  state.signing.tokens_signed = 0;
  sign_tokens(self, 0, end, all);
  for (const path_stage& stage : state.path) {
    tell_stage(self, stage.handle, sign_evidence{state.signing.terms->order()});
  }
}

void part_with_statements(lead_pointer self, std::size_t frames) {
  lead_state& state = self->state;
  auto& signing = state.signing;
  const bool any = std::any_of(signing.stated.begin(), signing.stated.end(), [](const auto& one) {
    return one.second.windows > 0 && !one.second.in_part;
  });
  if (!any || signing.parts >= limits::receipt_parts_max || !state.environment.tells_path) {
    return;
  }
  ++signing.parts;
  for (auto& [layer, one] : signing.stated) {
    one.in_part = true;
  }
  const auto output = state.core->history().subspan(state.log->prompt.size());
  state.environment.desk->executor->post(
      [evidence = signing.terms, request = state.request, requester = state.requester,
       output = std::vector<token_id>{output.begin(), output.end()}, draws = state.core->draws(),
       known = std::vector<frame_bytes>{signing.statements.begin(),
                                        signing.statements.begin() +
                                            static_cast<std::ptrdiff_t>(frames)}](
          compute::parallel_runner&) {
        if (auto made = evidence->make_part(output, draws, known)) {
          caf::anon_send(requester,
                         receipt_part{request, std::make_shared<const std::vector<std::byte>>(
                                                   std::move(*made))});
        }
      });
}

namespace {

/// But for claims of times: who computes a window again needs another time for the same.
digest what_is_told(const statement& s) {
  hasher all{"ovir/lead/told"};
  all.update_u32(s.window).update_u32(s.positions).update_u32(s.first_draw).update(s.input);
  for (const auto* each : {&s.units, &s.kv, &s.logits}) {
    all.update_u64(each->size());
    for (const digest& d : *each) {
      all.update(d);
    }
  }
  return all.update(std::as_bytes(std::span{s.choices})).finish();
}

} // namespace

void note_statements(lead_pointer self, const frame_bytes& frame) {
  const auto view = decode_frame(*frame);
  const auto batch = view ? decode_evidence(view->tensor) : result<evidence_batch>{view.error()};
  if (!batch) {
    return; // its receipt will say so
  }
  const std::size_t here = self->state.signing.statements.size() - 1;
  const evidence_signer& by = batch->records.signer;
  auto& known = self->state.signing.stated[by.layers.first];
  if (known.by != by) {
    if (!known.by.node.empty()) { // another stage takes its place
      part_with_statements(self, here);
    }
    known = {by, 0, here};
  } else if (begins_anew(by, batch->records)) {
    known.began = here;
    known.windows = 0;
  }
  for (const statement& s : batch->records.statements) {
    const digest told = what_is_told(s);
    if (s.window < known.told.size() && known.told[s.window] != told) {
      // It tells another story than before.
      part_with_statements(self, s.window < known.windows ? here : known.began);
      known.told.resize(s.window);
    }
    if (s.window == known.told.size()) {
      known.told.push_back(told);
      known.in_part = false;
    }
    known.windows = s.window == known.windows ? known.windows + 1 : known.windows;
  }
}

namespace {

/// The first stage on a node that has not stated so many windows.
template <class Due>
std::optional<stage_index> first_unstated(const lead_state& state, const Due& due) {
  for (std::uint32_t i = 0; i < state.path.size(); ++i) {
    const path_stage& stage = state.path[i];
    const auto known = state.signing.stated.find(stage.layers.first);
    const bool here = known != state.signing.stated.end() && known->second.by.node == stage.node;
    if (stage.handle && !stage.node.empty() &&
        (here ? known->second.windows : 0) < due(stage_index{i})) {
      return stage_index{i};
    }
  }
  return std::nullopt;
}

void complain_of(lead_pointer self, stage_index s) {
  complain(self, s,
           {errc::timed_out, fmt::format("stage {} has not signed what it computed", s.value)});
}

} // namespace

void watch_statements(lead_pointer self) {
  lead_state& state = self->state;
  auto& signing = state.signing;
  const auto late =
      signing.terms == nullptr ? std::nullopt : first_unstated(state, [&](stage_index s) {
        const position held = state.core->length_of(s);
        return (held - std::min(held, position{limits::link_signature_positions})) /
               limits::window_positions;
      });
  signing.ticks_unstated = late ? signing.ticks_unstated + 1 : 0;
  if (signing.ticks_unstated == limits::statement_ask_again / limits::lead_tick) {
    ask_for_statements(self, state.core->length_of(stage_index{0}), false);
  }
  if (signing.ticks_unstated * limits::lead_tick < limits::statement_patience) {
    return;
  }
  signing.ticks_unstated = 0;
  const bool source = std::exchange(signing.blames_source, !signing.blames_source);
  complain_of(self, stage_index{late->value - (source && late->value > 0 ? 1 : 0)});
}

void blame_for_receipt(lead_pointer self) {
  lead_state& state = self->state;
  const auto& outcome = *state.finish.outcome;
  const position end = outcome ? static_cast<position>(outcome->positions) : 0;
  const auto late = first_unstated(state, [&](stage_index) {
    return (end + limits::window_positions - 1) / limits::window_positions;
  });
  if (!late) {
    return;
  }
  complain_of(self, *late);
  if (late->value > 0) {
    complain_of(self, stage_index{late->value - 1});
  }
}

} // namespace ovir::actors
