#pragma once

#include "actors/audit/addendum_notes.hpp"
#include "actors/audit/verifier_actor.hpp"
#include "verify/receipt_replay.hpp"

#include <span>

/// What a verifier found goes to who closed the receipt, signed; there it is kept
/// (addendum_shelf.hpp). Functions of the actor in verifier_actor.cpp.
namespace ovir::actors {

/// What a replay from the tokens says of these windows of one stage: all that lies before the first
/// fault is right. What lies behind may follow from it, and nothing is said of it.
void note_replay(const receipt& r, std::size_t stage, std::span<const std::uint32_t> windows,
                 std::span<const compute::stated_fault> faults, addendum_notes& found);
/// With what this node computes, where nothing was computed.
[[nodiscard]] audit_means own_means(verifier_pointer self, const receipt& r);
/// Nothing where nothing was found, or this node took part in the answer.
void tell_addendum(verifier_pointer self, const receipt& r,
                   const verifier_state::receipt_bytes& bytes, const addendum_notes& found);
/// Of a member who says so. What does not count is blamed on who sent it, its verifier.
void take_addendum(verifier_pointer self, const node_id& from, const addendum& a);

} // namespace ovir::actors
