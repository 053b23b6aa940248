#include "actors/verifier_parts.hpp"

#include "actors/payments.hpp"
#include "compute/model.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// The whole model with every weight looked at, or why not.
result<std::pair<model_catalog::entry, std::shared_ptr<const compute::model>>>
whole_model(verifier_pointer self, const digest& id, compute::parallel_runner& runner) {
  auto& known = self->state.checked;
  if (const auto found = known.find(id); found != known.end()) {
    return found->second;
  }
  for (const model_catalog::entry& part : self->state.environment.models->all()) {
    if (part->id != id || !part->whole || part->kernels == nullptr) {
      continue;
    }
    auto weights = std::make_shared<compute::model>(part->weights);
    const std::uint32_t layers = weights->config.layers;
    const layer_range held = part->held.size() == 0 ? layer_range{layers, layers} : part->held;
    for (const layer_range rest : {layer_range{0, held.first}, layer_range{held.last, layers}}) {
      if (rest.size() > 0) {
        OVIR_TRY(compute::check_weights(*weights, rest, runner));
      }
    }
    known[id] = {part, weights};
    return known[id];
  }
  return fail(errc::segment_missing, "model {} is not here as a whole", to_hex(id).substr(0, 8));
}

} // namespace

result<compute::replay_outcome> replay(verifier_pointer self, const receipt& r,
                                       const compute::replay_bounds& bounds) {
  compute::serial_runner runner;
  OVIR_ASSIGN(const auto model, whole_model(self, r.asked.model, runner));
  return compute::replay(r, *model.second, bounds, *model.first->kernels, runner, {},
                         model.first->vocabulary.get());
}

void note_for_ledger(verifier_pointer self, const conviction& c) {
  verifier_state& state = self->state;
  const auto& around = state.environment;
  const bool own = std::any_of(c.verdicts.begin(), c.verdicts.end(), [&](const audit_verdict& v) {
    return v.verifier == around.key->id();
  });
  if (around.payments && around.audits && (own || c.kind == conviction_kind::equivocation)) {
    state.for_ledger.push_back(std::make_shared<const conviction>(c));
  }
}

void tell_ledger(verifier_pointer self) {
  verifier_state& state = self->state;
  if (state.for_ledger.empty()) {
    return;
  }
  if (const caf::actor payments = state.environment.payments()) {
    for (auto& c : std::exchange(state.for_ledger, {})) {
      self->send(payments, conviction_found{std::move(c)});
    }
  }
}

void note_counts(const verifier_state& state) {
  if (state.environment.meter != nullptr) {
    state.environment.meter->audits({state.count.receipts, state.count.drawn,
                                     state.count.mismatches, state.waiting.size(),
                                     state.convicted.size()});
  }
}

} // namespace ovir::actors
