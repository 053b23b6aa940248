#pragma once

#include "messages/result.hpp"
#include "verify/proofs/product_proof.hpp"
#include "verify/proofs/transcript.hpp"

namespace ovir::proofs {

/// Whether the sums of `statement` are the products of its inputs with the tensors behind its
/// roots. Needs neither weights nor secrets. Of a false statement a proof passes with a probability
/// below 2^-101, given that its roots are those of `commit_tensor` (docs/proofs/products.md). Field
/// and hashes alone: no floating point. `malformed` where statement or proof are not in form;
/// `digest_mismatch`, with what does not fit, where the proof does not hold. Precondition: elements
/// below p, as those of `decode_proof`.
[[nodiscard]] result<void> verify_products(const proof_statement& statement,
                                           const product_proof& proof);

/// The same with challenges of another transcript, as tests use it.
[[nodiscard]] result<void> verify_products(const proof_statement& statement,
                                           const product_proof& proof, transcript& script);

} // namespace ovir::proofs
