#pragma once

#include "compute/forward/unit_walk.hpp"
#include "messages/evidence/receipt.hpp"
#include "verify/receipt_check.hpp"
#include "verify/units/model_roots.hpp"
#include "verify/units/unit_proof.hpp"

#include <optional>
#include <span>
#include <vector>

/// One piece from its rows, with products taken from `integer_products`: what prover and verifier
/// compute alike.
namespace ovir::proofs {

struct walked_piece {
  // As statements name them, of windows [first, last):
  std::vector<digest> outputs;
  std::vector<digest> kv;
  /// The boundary behind the layer from the first window on; empty of the model's last layer.
  std::vector<float> rows;
  position draws_first{0};
  std::vector<float> logits; ///< [draws][vocabulary]
};

class piece_walker {
public:
  /// All must outlive it.
  piece_walker(const public_model& model, const receipt& r, const compute::kernel_set& kernels,
               compute::parallel_runner& runner);

  /// `rows`: [positions][dim]. Errors as of `compute::walk_unit`. Precondition: the receipt has the
  /// units, and its layers are the model's.
  [[nodiscard]] result<walked_piece> walk(const proven_piece& piece, std::span<const float> rows,
                                          compute::integer_products& products);

  /// How what was computed differs from what the receipt states, with the stage that signed it.
  [[nodiscard]] std::optional<compute::receipt_failure> difference(const proven_piece& piece,
                                                                   const walked_piece& got) const;

private:
  [[nodiscard]] std::optional<compute::receipt_failure>
  difference_of_draws(const walked_piece& got) const;

  const public_model& model_;
  const receipt& receipt_;
  const compute::kernel_set& kernels_;
  compute::parallel_runner& runner_;
  compute::rope_table rope_;
  compute::unit_scratch scratch_;
};

/// What the receipt states of a piece goes into its digests. Precondition: it has these units.
void state_digests(const receipt& r, proven_piece& piece);

/// Prompt and output.
[[nodiscard]] std::vector<token_id> all_tokens(const receipt& r);

} // namespace ovir::proofs
