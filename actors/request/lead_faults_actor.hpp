#pragma once

#include "actors/request/lead_actor.hpp"
#include "actors/request/lead_signing_actor.hpp"

#include <cstdint>
#include <optional>
#include <vector>

/// What a lead does about stages that are lost, slow or at fault. Stages of its own process are
/// trusted: where the path names no nodes, what they say of a failure ends the request.
namespace ovir::actors {

/// The provider knows of a better place, or sends the stage again once it is back.
void complain(lead_pointer self, stage_index stage, error reason);
/// A stage's answer is its own fault: another place is looked for.
void blame(lead_pointer self, stage_index stage, const error& reason);
/// Of a host that is on the path no more.
void accuse_former(lead_pointer self, const accuse_effect& e);
/// A stage says that it cannot go on. One that cannot take the request now is as good as gone:
/// another may.
[[nodiscard]] lead_core::effects stage_refused(lead_pointer self,
                                               const from_stage<stage_failed>& e);
/// For the core: the stages of the path; empty within a process.
[[nodiscard]] std::vector<stage_place> places_now(lead_state& state);
/// What the request ends with: a stage was at fault, and in limits::fault_patience nothing took its
/// place.
[[nodiscard]] std::optional<error> unanswered_fault(const lead_state& state);
/// Grows as long as the request gets on: of stages elsewhere only with what the core counts, so
/// that words alone do not look like work.
[[nodiscard]] std::uint64_t progress_of(const lead_state& state);

} // namespace ovir::actors
