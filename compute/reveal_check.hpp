#pragma once

#include "compute/capsule_replay.hpp"
#include "compute/freivalds.hpp"
#include "compute/receipt_check.hpp"
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

/// Checks what was revealed. Empty: every integer product is right (but for a chance below 2^-27
/// each), and what follows from them is what the receipt states. A failure names who signed the
/// unit, but convicts nobody: the secret vectors are the auditor's alone, nobody signed what was
/// revealed, and so no third party can repeat the check. Replay does (`replay_piece`). Errors:
/// capsule, reveal and prepared model do not belong together. Precondition: `check_receipt` and
/// `check_inputs` found nothing.
[[nodiscard]] result<std::vector<receipt_failure>>
check_reveal(const capsule& c, const unit_reveal& revealed, const prepared_model& secret,
             const kernel_set& kernels, parallel_runner& runner);

} // namespace ovir::compute
