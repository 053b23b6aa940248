#pragma once

#include "ledger/rules/policy.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// The numbers of a policy by the names that its file has for them.
namespace ovir::ledger {

struct policy_number {
  std::string_view key;
  std::uint64_t (*get)(const policy&);
  /// Where a number has fewer bits, what is beyond them becomes the most there is: a range is
  /// `check_ranges`'s matter.
  void (*set)(policy&, std::uint64_t);
};

[[nodiscard]] std::span<const policy_number> rule_numbers() noexcept;       ///< [rules]
[[nodiscard]] std::span<const policy_number> deterrence_numbers() noexcept; ///< [deterrence]

/// The first difference in words, with both values: "audit_rate_ppm is 100000 instead of 150000".
/// Empty where the two are equal.
[[nodiscard]] std::string first_difference(const policy& told, const policy& instead);

} // namespace ovir::ledger
