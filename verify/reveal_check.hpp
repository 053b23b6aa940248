#pragma once

#include "compute/forward/segment.hpp"
#include "compute/forward/unit_walk.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/evidence/prepared.hpp"
#include "verify/capsule_replay.hpp"
#include "verify/freivalds.hpp"
#include "verify/receipt_check.hpp"

#include <vector>

/// Tier T1: a unit without its weights. The worker reveals the unrounded integers of its products,
/// the auditor checks them through secret vectors and computes all that is between them.
namespace ovir::compute {

/// Computes what is to be revealed of a unit by the model. The capsule has a piece that begins with
/// the unit's layer and reaches its window. `invalid_argument` where it has none, `unsupported`
/// where a matrix is none that can be checked.
[[nodiscard]] result<unit_reveal> reveal_unit(const capsule& c, unit_name unit, const model& m,
                                              const kernel_set& kernels, parallel_runner& runner);

/// Where an auditor computes what depends on earlier positions: K and V before the window, unless
/// they were computed for an earlier one, and attention in it. `seed` is drawn anew for each check
/// and told to nobody; with `one_in` N a lie at m of these places passes with a probability of at
/// most (1 - 1/N)^m.
struct spot_draw {
  std::uint32_t one_in{1}; ///< 1: everywhere
  digest seed;
};

/// Checks what is revealed of units, and keeps what all checks of a model share, and of the layer
/// checked last its K and V: windows that are checked in their order compute none twice
/// (docs/adr/0013-evidence.md). One thread at a time; `secret`, `kernels` and `runner` must outlive
/// it.
class reveal_checker {
public:
  reveal_checker(const prepared_model& secret, const kernel_set& kernels, parallel_runner& runner);

  /// Empty: every integer product is right (but for a chance below 2^-27 each), and what follows
  /// from them is what the receipt states, with the draw's exception. A failure names who signed
  /// the unit, but convicts nobody: the secret vectors are the auditor's alone, nobody signed what
  /// was revealed, and so no third party can repeat the check. Replay does (`replay_piece`).
  /// Errors: capsule, reveal and prepared model do not belong together. Precondition:
  /// `check_receipt` and `check_inputs` found nothing; `one_in` is at least 1.
  [[nodiscard]] result<std::vector<receipt_failure>>
  check(const capsule& c, const unit_reveal& revealed, const spot_draw& where);

private:
  /// K and V that were computed, of a layer of a receipt, from position 0 on.
  struct computed_layer {
    signature closing; ///< of the receipt: the lead's word for all that is in it
    layer_index layer{0};
    std::uint32_t positions{0};
    std::vector<std::vector<std::uint16_t>> keys;   ///< [kv heads][positions * head_dim]
    std::vector<std::vector<std::uint16_t>> values; ///< likewise
  };

  [[nodiscard]] std::uint32_t known_positions(const receipt& r, const unit_name& unit) const;
  [[nodiscard]] result<void> same_as_known(const unit_reveal& revealed, std::uint32_t known,
                                           std::uint32_t positions) const;
  void keep(const receipt& r, const unit_reveal& revealed, std::uint32_t positions);

  const prepared_model& secret_;
  const kernel_set& kernels_;
  parallel_runner& runner_;
  model_config config_;
  rope_table rope_;
  unit_scratch scratch_;
  std::vector<std::int64_t> chosen_; ///< sums of the places of a matrix
  computed_layer known_;
};

} // namespace ovir::compute
