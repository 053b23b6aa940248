#pragma once

#include "compute/capsule_replay.hpp"
#include "compute/freivalds.hpp"
#include "compute/receipt_check.hpp"
#include "compute/segment.hpp"
#include "compute/unit_walk.hpp"
#include "messages/capsule.hpp"
#include "messages/prepared.hpp"

#include <vector>

/// Tier T1: a unit without its weights. The worker reveals the unrounded integers of its products,
/// the auditor checks them through secret vectors and computes all that is between them.
namespace ovir::compute {

/// Computes what is to be revealed of a unit by the model. The capsule has a piece that begins with
/// the unit's layer and reaches its window. `invalid_argument` where it has none, `unsupported`
/// where a matrix is none that can be checked.
[[nodiscard]] result<unit_reveal> reveal_unit(const capsule& c, unit_name unit, const model& m,
                                              const kernel_set& kernels, parallel_runner& runner);

/// Where an auditor computes what depends on earlier positions: K and V before the window, and
/// attention in it. `seed` is drawn anew for each check and told to nobody; with `one_in` N a lie
/// at m of these places passes with a probability of at most (1 - 1/N)^m.
struct spot_draw {
  std::uint32_t one_in{1}; ///< 1: everywhere
  digest seed;
};

/// Checks what is revealed of units, and keeps what all checks of a model share. One thread at a
/// time; `secret`, `kernels` and `runner` must outlive it.
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
  const prepared_model& secret_;
  const kernel_set& kernels_;
  parallel_runner& runner_;
  model_config config_;
  rope_table rope_;
  unit_scratch scratch_;
  std::vector<std::int64_t> chosen_; ///< sums of the places of a matrix
};

} // namespace ovir::compute
