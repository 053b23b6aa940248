#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/result.hpp"
#include "verify/receipt_check.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Making replay capsules, and computing again what is in one (tier T2 of chosen units).
namespace ovir::compute {

/// Which layers, over how many positions from the first on: to the end of a window, or of the
/// request.
struct piece_choice {
  layer_range layers;
  std::uint32_t positions{0};
};

/// Every stage of a receipt over all positions: all of its units, each stage by itself.
[[nodiscard]] std::vector<piece_choice> whole_stages(const receipt& r);

/// Computes the inputs of `pieces` by the model. `invalid_argument` where a choice does not exist,
/// `over_limit` where the capsule would be too large, `digest_mismatch` where the receipt states
/// another input than the model gives: then an earlier unit is the one to look at, which is named.
/// Precondition: `r` passes `check_receipt`, and `m` is the model it names.
[[nodiscard]] result<capsule> make_capsule(const receipt& r, std::span<const piece_choice> pieces,
                                           const model& m, const kernel_set& kernels,
                                           parallel_runner& runner);

/// Who signed for `layer`.
[[nodiscard]] const node_id& signer_of(const receipt& r, const unit_name& unit);
/// What the receipt states of a unit: its boundary, or K and V of the model's last layer.
/// Precondition: the receipt passes `check_receipt` and has this unit.
[[nodiscard]] const digest& stated_output(const receipt& r, unit_name unit);
/// What it states of the unit's K and V. Precondition as above.
[[nodiscard]] const digest& stated_kv(const receipt& r, unit_name unit);

/// Whether every row of a capsule is what its receipt states went in there. Needs no model. A
/// failure names nobody: who wrote the capsule did not sign it.
[[nodiscard]] std::vector<receipt_failure> check_inputs(const capsule& c);

/// Computes a piece again and compares all its units, and where it ends in the model's last layer
/// also logits and tokens. The first difference in order of position, with its signer. Errors are
/// about the model or this machine. `words` as of `draw_checker`. Precondition: receipt and inputs
/// were found right.
[[nodiscard]] result<std::optional<receipt_failure>>
replay_piece(const capsule& c, const capsule_piece& piece, const model& m,
             const kernel_set& kernels, parallel_runner& runner, const token_trie* words = nullptr);

} // namespace ovir::compute
