#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/proofs/commitment.hpp"
#include "verify/units/model_roots.hpp"
#include "verify/units/unit_proof.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

/// Making proofs of units, by who has the weights.
namespace ovir::proofs {

/// Layers over windows [first, last). From window 0 on, layers are chained: only the rows before
/// the first one are in the proof.
struct unit_choice {
  layer_range layers;
  std::uint32_t first{0};
  std::uint32_t last{0};
};

/// The tree of a tensor: kept somewhere, or made again by `commit_tensor`.
using tree_source = std::function<result<column_tree>(
    const committed_tensor& tensor, const compute::weight& w, std::string_view name)>;
/// By committing again, some ten seconds of a processor for a layer of a 1.1B model.
[[nodiscard]] tree_source committed_again(compute::parallel_runner& runner);

/// What a proof is made from.
struct proof_material {
  const receipt* what{nullptr};
  digest receipt_digest; ///< plain BLAKE3 of its bytes
  const compute::model* model{nullptr};
  const model_roots* roots{nullptr};
  digest roots_digest; ///< plain BLAKE3 of their bytes
  tree_source trees;
};

/// Computes the units again from the receipt's tokens and proves their products, all of them
/// together. `digest_mismatch`, with the signer, where the receipt states something else than
/// follows: there is nothing to prove then; `invalid_argument` where a choice does not exist;
/// `over_limit` for too many units; `unsupported` for other blocks than plain llama's.
/// Precondition: the receipt passes `check_receipt`.
[[nodiscard]] result<unit_proof> prove_units(const proof_material& from,
                                             std::span<const unit_choice> choices,
                                             const compute::kernel_set& kernels,
                                             compute::parallel_runner& runner);

/// Rows [first, first + count) of a batch, as a statement has them.
[[nodiscard]] compute::quantized_batch batch_part(const compute::quantized_batch& x,
                                                  std::size_t first, std::uint32_t count);

} // namespace ovir::proofs
