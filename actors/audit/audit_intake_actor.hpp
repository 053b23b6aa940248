#pragma once

#include "actors/audit/verifier_actor.hpp"

#include <set>
#include <string>
#include <vector>

/// What a verifier takes from others, and how much of it: each sender has a share of its own
/// (audit_queue.hpp), and pays for what is of no use (audit_senders.hpp). Functions of the actor in
/// verifier.cpp.
namespace ovir::actors {

/// Those who signed something in a receipt, its lead and those whose units it reuses among them.
[[nodiscard]] std::set<node_id> signers_of(const receipt& r);
/// Who else can be asked now, in an order that differs from question to question.
[[nodiscard]] std::vector<node_id> verifiers_there(verifier_pointer self, const digest& about);

/// Whether a verifier may have these layers: a worker says what it holds and what lies on its disk,
/// and who only verifies has what its owner gave it.
[[nodiscard]] bool may_have(verifier_pointer self, const node_id& verifier, const digest& model,
                            layer_range layers);
/// Of these, those that may have the layers that `place` of a receipt lies in.
[[nodiscard]] std::vector<node_id>
verifiers_of(verifier_pointer self, std::span<const std::byte> receipt, const audit_place& place);

/// From one of this node's requests: it waits for the draw from the log, where there is one.
void offer(verifier_pointer self, const receipt_finished& done);
/// As few verifiers get it as have the layers of all its stages, each stage's not from the node
/// that computed it. They draw by themselves.
void offer_by_layers(verifier_pointer self, const verifier_state::receipt_bytes& bytes,
                     bool suspect);
/// To this verifier, which may be this node.
void send_offer(verifier_pointer self, const node_id& verifier, const receipt& r, audit_offer what);
void take_receipt(verifier_pointer self, const node_id& from, audit_offer&& what);
void take_question(verifier_pointer self, const node_id& from, audit_question&& q);
/// Has the next that waits looked at, if a sender has its turn.
void call_to_work(verifier_pointer self);
/// So many windows are computed again for `from`.
void charge_for(verifier_pointer self, const node_id& from, std::uint32_t windows);
/// A signer of `r` that was never a member here, if there is one: its word is of no use.
[[nodiscard]] std::optional<node_id> stranger_among(verifier_pointer self, const receipt& r);

// A join token, as it is, shows that a key which others name is a member.
[[nodiscard]] bool is_token(std::span<const std::byte> bytes);
void take_token(verifier_pointer self, const node_id& from, std::span<const std::byte> bytes);

/// `from` sent something of no use, or worse. Beyond limits::audit_useless_max it is disconnected
/// and not listened to for a while.
void blame(verifier_pointer self, const node_id& from, const std::string& what);

} // namespace ovir::actors
