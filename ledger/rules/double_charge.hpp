#pragma once

#include "ledger/rules/command.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

/// One statement that a scheduler charged to two reservations: evidence that convicts it by itself
/// (docs/formats/credit.md).
namespace ovir::ledger {

/// Two accruals that one scheduler signed.
struct double_charge {
  entry first;  ///< that the log has
  entry second; ///< that was refused, with time 0
};

/// What a log has under an id.
struct logged_entry {
  std::uint64_t index{0};
  std::vector<std::byte> bytes;
};
using log_lookup = std::function<std::optional<logged_entry>(const digest& id)>;

/// Whether a conviction follows from the evidence in `bytes` and the log: one scheduler signed that
/// two reservations pay one node for one statement, and had both open at once. One that drives a
/// request anew, behind the end of the first reservation, may have forgotten what that paid: it is
/// refused the second payment and not convicted. `invalid_argument` or `malformed` with what does
/// not fit.
[[nodiscard]] result<void> check_double_charge(const digest& ledger, const convict& x,
                                               std::span<const std::byte> bytes,
                                               const log_lookup& find);

// Canonical bytes. `from` is their inverse: `malformed`, `unsupported` or `over_limit` else.
[[nodiscard]] std::vector<std::byte> to_bytes(const double_charge& e);
[[nodiscard]] result<double_charge> double_charge_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
