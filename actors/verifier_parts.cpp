#include "actors/verifier_parts.hpp"

#include "actors/payments.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

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
    state.environment.meter->audits(
        {state.count.receipts, state.count.drawn, state.count.mismatches,
         state.receipts.size() + state.questions.size(), state.convicted.size()});
  }
}

} // namespace ovir::actors
