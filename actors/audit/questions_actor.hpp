#pragma once

#include "actors/audit/verifier_actor.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Questions between verifiers (docs/formats/audit.md). Who is asked gets a window's inputs alone
/// and answers with what it came to; only then it is shown what was stated, for its verdict.
/// Functions of the actor in verifier_actor.cpp.
namespace ovir::actors {

// Who asks

/// Has `host` compute the window of `place` with none of the kernels in `taken`. The question's
/// number, which says nothing.
[[nodiscard]] std::uint64_t ask_window(verifier_pointer self, const node_id& host,
                                       std::span<const std::byte> receipt, const audit_place& place,
                                       std::span<const audit_kernels> taken);
/// Whether `host` signed that the window of `place` came to `a.outcome`.
[[nodiscard]] bool is_signed_by(const node_id& host, const audit_answer& a,
                                std::span<const std::byte> receipt, const audit_place& place);
/// It answered as was computed here: it sees what was stated.
void reveal_to(verifier_pointer self, const node_id& host, std::uint64_t number,
               const std::vector<std::byte>& receipt, const audit_place& place);
void take_answer(verifier_pointer self, const node_id& from, const audit_answer& a);
void take_vouch(verifier_pointer self, const node_id& from, const audit_vouch& v);

// Who is asked

/// Computes a window, from inputs that the asker has, or from the tokens.
void begin_answer(verifier_pointer self, waiting_question asked);
/// Gives a verdict where the receipt is of the window that was computed here for this question, and
/// nothing before the place differs. Once.
void take_reveal(verifier_pointer self, const node_id& from, const audit_reveal& shown);

/// A number by chance: names questions, and orders nothing.
[[nodiscard]] std::uint64_t chance(verifier_pointer self);

} // namespace ovir::actors
