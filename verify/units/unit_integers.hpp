#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"
#include "verify/proofs/statement.hpp"
#include "verify/units/model_roots.hpp"
#include "verify/units/unit_proof.hpp"

/// The part of a unit proof's check that is about integers and hashes alone, as
/// verify_units.py in docs/proofs has it, too. What is left is the receipt and the steps between
/// products (unit_verifier.hpp).
namespace ovir::proofs {

/// The statement of a proof about receipt and roots of these digests: it is bound to what the proof
/// says, its products are those of the proof's layers in their order, each by the matrix of the
/// roots and of as many tokens as the piece has, and all of them are proven. `malformed` or
/// `digest_mismatch`.
[[nodiscard]] result<proof_statement> proven_statement(const unit_proof& proof,
                                                       const public_model& known,
                                                       const digest& receipt, const digest& roots);

} // namespace ovir::proofs
