#pragma once

#include "ledger/keeper/ledger.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/double_charge.hpp"

#include <cstddef>
#include <optional>
#include <vector>

/// Schedulers that charge one statement to two reservations, as a ledger shows them.
namespace ovir::ledger {

/// What a ledger has under an id; it outlives the lookup.
[[nodiscard]] log_lookup lookup_in(const ledger& book);

struct found_charge {
  authentic_command what; ///< the conviction
  std::vector<std::byte> evidence;
};
/// Whether it is a conviction that the log and its evidence prove: each keeper comes to the same.
[[nodiscard]] bool is_proved_by_charges(const command& what);
/// Whom an accrual convicts that was just refused because what it pays for is paid: nothing where
/// that is no fault of who signed it. `finder` is paid for it.
[[nodiscard]] std::optional<found_charge>
find_double_charge(const ledger& book, const authentic_command& refused, const node_id& finder);

} // namespace ovir::ledger
