#pragma once

#include "actors/audit/verifier_actor.hpp"
#include "verify/receipt_replay.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

/// What the verifier's actor computes again, and what it tells the ledger and Prometheus.
namespace ovir::actors {

/// Layers of a model whose weights were all looked at.
struct audited_model {
  model_catalog::entry part;
  std::shared_ptr<const compute::model> weights;
};
/// Units of a receipt computed again with the model, every weight of which was looked at, that this
/// node has as a whole; `segment_missing` where it has not.
struct replayed {
  compute::replay_outcome again;
  audit_means means;
};
/// A model that is here as a whole, with every weight looked at.
[[nodiscard]] result<audited_model> whole_model(verifier_pointer self, const digest& id,
                                                compute::parallel_runner& runner);
/// With none of the kernels in `taken` but the reference.
[[nodiscard]] result<replayed> replay(verifier_pointer self, const receipt& r,
                                      const compute::replay_bounds& bounds,
                                      std::span<const audit_kernels> taken = {});
/// What goes in where `place`'s stage begins, for its signer to compute it again; empty where the
/// model is not here as a whole, or it is too large.
[[nodiscard]] std::vector<std::byte> inputs_of(verifier_pointer self, const receipt& r,
                                               const audit_place& place);

[[nodiscard]] audit_kernels named(compute::isa id);
/// `own` where it is not taken, else the fastest that this processor has.
[[nodiscard]] const compute::kernel_set& kernels_beside(const compute::kernel_set& own,
                                                        std::span<const audit_kernels> taken);
/// The same weights without the forms that one set of kernels reads fastest.
[[nodiscard]] compute::model unpacked(compute::model m);
/// Of the hosts in `there`, those whose operator is neither this node's nor one of `not_of`.
[[nodiscard]] std::vector<node_id> others_of(verifier_pointer self, std::vector<node_id> there,
                                             std::span<const node_id> not_of);
/// Tells everybody but `from` of a conviction that is final, and acts on it (verifier.cpp).
void publish(verifier_pointer self, const conviction& c, const std::optional<node_id>& from);
/// Does what the book says (verifier_actor.cpp, and so the next).
void perform(verifier_pointer self, const std::vector<ledger::audit_effect>& effects);
/// Keeps the events of audits.
void flush(verifier_pointer self);
[[nodiscard]] operator_of operators_of(verifier_pointer self);
/// What a receipt states, but for what this node stated: a node does not audit itself.
[[nodiscard]] std::vector<ledger::stated_unit> units_of_others(verifier_pointer self,
                                                               const receipt& r);

/// Remembers a conviction for the ledger: a verifier vouches for what it computed itself, and hands
/// in what convicts by itself.
void note_for_ledger(verifier_pointer self, const conviction& c);
/// Hands those on once somebody is there to take them.
void tell_ledger(verifier_pointer self);

/// For Prometheus: after whatever may have changed it.
void note_counts(const verifier_state& state);

} // namespace ovir::actors
