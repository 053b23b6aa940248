#pragma once

#include "actors/payment/payment_core.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/lead_actor.hpp"
#include "messages/evidence/receipt.hpp"

/// What follows from the state of a lead.
namespace ovir::actors {

/// Where the highest logit is taken, the last stage says which that is, and with a receipt signs
/// it. Logprobs are of all logits.
[[nodiscard]] inline stage_answers wanted_answers(const lead_state& state) {
  if (state.pooled) {
    return stage_answers::hidden;
  }
  const bool choices = state.sampler->takes_highest() && !state.log->logprobs;
  return choices ? stage_answers::highest : stage_answers::logits;
}

[[nodiscard]] inline bool wants_choices(const lead_state& state) {
  return wanted_answers(state) == stage_answers::highest;
}

/// Who computes now.
[[nodiscard]] inline computing_path path_now(const lead_state& state) {
  computing_path path;
  for (const path_stage& stage : state.path) {
    path.emplace_back(stage.node, stage.layers);
  }
  return path;
}

} // namespace ovir::actors
