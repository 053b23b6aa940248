#pragma once

#include "actors/lead.hpp"
#include "actors/payment_core.hpp"
#include "messages/limits_draw.hpp"
#include "messages/receipt.hpp"

/// What follows from the state of a lead.
namespace ovir::actors {

/// Who closes a receipt answers for its tokens, and so draws them from the logits; logprobs are of
/// all of these, too.
[[nodiscard]] inline stage_answers wanted_answers(const lead_state& state) {
  if (state.pooled) {
    return stage_answers::hidden;
  }
  const bool choices =
      state.sampler->takes_highest() && state.evidence == nullptr && !state.log->logprobs;
  return choices ? stage_answers::highest : stage_answers::logits;
}

[[nodiscard]] inline bool wants_choices(const lead_state& state) {
  return wanted_answers(state) == stage_answers::highest;
}

/// Whether a draw from such a frame of logits takes less than waking a thread for it, and then being woken.
[[nodiscard]] inline bool draws_here(const lead_state& state, const std::vector<std::byte>& frame) {
  return state.sampler->takes_highest() && state.matcher == nullptr && !state.log->logprobs &&
         frame.size() <= limits::draw_here_bytes_max;
}

/// Who computes now.
[[nodiscard]] inline computing_path path_now(const lead_state& state) {
  computing_path path;
  for (const path_stage& stage : state.path) {
    path.emplace_back(stage.node, stage.layers);
  }
  return path;
}

[[nodiscard]] inline receipt_end end_of(generation_end end) {
  switch (end) {
  case generation_end::stop: return receipt_end::stop;
  case generation_end::length: return receipt_end::length;
  case generation_end::cancelled: return receipt_end::cancelled;
  }
  return receipt_end::length;
}

} // namespace ovir::actors
