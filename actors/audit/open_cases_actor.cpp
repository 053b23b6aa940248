#include "actors/audit/open_cases_actor.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace ovir::actors {

void keep_open(verifier_pointer self, std::span<const std::byte> receipt) {
  verifier_state& state = self->state;
  const digest name = receipt_digest(receipt);
  if (!state.files || state.kept_open.contains(name)) {
    return;
  }
  if (const auto kept = state.files->keep_open(receipt); !kept) {
    return state.environment.journal->say(log_level::warn, std::nullopt,
                                          "what was found is forgotten by a crash: {}",
                                          kept.error().message);
  }
  state.kept_open.insert(name);
}

void resume_open(verifier_pointer self) {
  verifier_state& state = self->state;
  if (!state.files || !state.environment.audits) {
    return;
  }
  for (auto& [name, bytes] : state.files->read_open()) {
    const waiting_receipt again{state.environment.key->id(),
                                std::make_shared<const std::vector<std::byte>>(std::move(bytes)),
                                true, true};
    if (state.waiting.push(again, state.environment.env->now())) {
      state.kept_open.insert(name);
      state.resumed.insert(name);
    }
  }
}

void note_resumed(verifier_pointer self, const waiting_receipt& done) {
  if (done.again) {
    self->state.resumed.erase(receipt_digest(*done.bytes));
  }
}

void tend_open(verifier_pointer self) {
  verifier_state& state = self->state;
  if (state.kept_open.empty()) {
    return;
  }
  if (!state.resumed.empty() && state.waiting.size() == 0) {
    resume_open(self);
  }
  std::set<digest> wanted = state.resumed;
  for (const auto& [about, one] : state.cases) {
    wanted.insert(receipt_digest(*one.bytes));
  }
  for (const auto& [guilty, one] : state.hearings) {
    for (const std::vector<std::byte>& receipt : one.mind.draft().receipts) {
      wanted.insert(receipt_digest(receipt));
    }
  }
  std::erase_if(state.kept_open, [&](const digest& name) {
    const bool settled = !wanted.contains(name);
    if (settled) {
      state.files->drop_open(name);
    }
    return settled;
  });
}

} // namespace ovir::actors
