#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/receipt_check.hpp"
#include "verify/units/model_roots.hpp"
#include "verify/units/unit_proof.hpp"

#include <vector>

/// Checking proofs of units, from public data alone.
namespace ovir::proofs {

/// Public data a proof is checked against. Neither is owned.
struct proof_public {
  const receipt* what{nullptr};
  digest receipt_digest; ///< plain BLAKE3 of its bytes
  const model_roots* roots{nullptr};
  digest roots_digest; ///< plain BLAKE3 of their bytes
};

/// Empty: every product of every unit of the proof is that of the tensors behind the roots (but for
/// a chance below 2^-100), and boundaries, K and V, logits and tokens that the receipt states of
/// these units follow from them. Needs no weights and no secrets.
///
/// A failure without a signer is the proof's: the file proves nothing. One with a signer says
/// that a stage stated something else than follows from integers that are proven. Neither convicts:
/// replay does. Errors: receipt, roots and proof do not belong together. Time and memory are
/// bounded by the sizes of proof and receipt. Precondition: the receipt passes `check_receipt`.
[[nodiscard]] result<std::vector<compute::receipt_failure>>
check_unit_proof(const proof_public& known, const unit_proof& proof,
                 const compute::kernel_set& kernels, compute::parallel_runner& runner);

} // namespace ovir::proofs
