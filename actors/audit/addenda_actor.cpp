#include "actors/audit/addenda_actor.hpp"

#include "actors/audit/addendum_shelf.hpp"
#include "actors/audit/audit_intake_actor.hpp"
#include "actors/audit/conviction_news_actor.hpp"
#include "actors/audit/verifier_parts_actor.hpp"
#include "verify/window_replay.hpp"

#include <algorithm>
#include <limits>

namespace ovir::actors {

void note_replay(const receipt& r, std::size_t stage, std::span<const std::uint32_t> windows,
                 std::span<const compute::stated_fault> faults, addendum_notes& found) {
  std::uint32_t sound = std::numeric_limits<std::uint32_t>::max(); // windows below are
  for (const compute::stated_fault& fault : faults) {
    sound = std::min(sound, fault.place.window);
    const auto at = compute::window_of(r, fault.place);
    if (at && fault.place.part != audit_part::token) {
      found.note(at->stage, at->window, audit_finding::wrong);
    }
  }
  for (const std::uint32_t window : windows) {
    if (window < sound) {
      found.note(stage, window, audit_finding::right);
    }
  }
}

audit_means own_means(verifier_pointer self, const receipt& r) {
  const auto part = self->state.environment.models->find(r.asked.model);
  const bool known = part != nullptr && part->kernels != nullptr;
  return {known ? named(part->kernels->id) : audit_kernels::reference,
          self->state.environment.software};
}

void tell_addendum(verifier_pointer self, const receipt& r,
                   const verifier_state::receipt_bytes& bytes, const addendum_notes& found) {
  const auto& around = self->state.environment;
  const digest name = receipt_digest(*bytes);
  if (found.empty() || compute::subject_of(r, name).parties.contains(around.key->id())) {
    return;
  }
  addendum a;
  a.receipt = name;
  a.means = found.means();
  a.unix_seconds = around.env->unix_seconds();
  a.units = found.units(limits::addendum_units_max);
  sign_addendum(a, *around.key);
  send_audit(self, r.lead.node, audit_addendum{std::move(a)});
}

void take_addendum(verifier_pointer self, const node_id& from, const addendum& a) {
  const auto& around = self->state.environment;
  if (!is_verifier(self, from)) {
    return blame(self, from, "tells of audits, which only a verifier does");
  }
  if (a.verifier != from) {
    return blame(self, from, "hands on what another is to have found in a receipt");
  }
  if (around.addenda == nullptr) {
    return;
  }
  std::optional<compute::addendum_fault> fault;
  const auto taken = around.addenda->take(a, fault);
  if (fault && fault->what != compute::addendum_fault::kind::repetition) {
    return blame(self, from, "tells of an audit what does not count: " + fault->text);
  }
  if (!taken) { // it came too late, or says nothing new
    around.journal->say(log_level::debug, std::nullopt, "an addendum of {} is not kept: {}",
                        short_name(from), taken.error().message);
  }
}

} // namespace ovir::actors
