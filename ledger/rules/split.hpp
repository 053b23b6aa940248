#pragma once

#include "ledger/rules/wide.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Dividing an amount among a cohort, to the last micro-credit.
namespace ovir::ledger {

/// Who takes part in a division, and with how much.
struct weighted {
  node_id participant;
  std::uint64_t weight{0}; ///< at most limits::ledger_weight_max
};

/// Largest remainder: each gets floor(amount * weight / sum), and what is left over goes unit by
/// unit to the largest remainders, ties to the lower participant id. The shares, in the order of
/// `cohort`, add up to `amount`; who has more weight never gets less; the order of the cohort does
/// not matter. `invalid_argument` for no or more than `limits::ledger_participants_max`
/// participants, one that is named twice, a weight out of range, or weights that are all 0.
[[nodiscard]] result<std::vector<micro_credits>> split(micro_credits amount,
                                                       std::span<const weighted> cohort);

} // namespace ovir::ledger
