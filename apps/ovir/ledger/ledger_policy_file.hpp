#pragma once

#include "ledger/rules/policy.hpp"
#include "messages/result.hpp"

#include <string>
#include <string_view>

/// The rules of a ledger as a TOML file; config/ledger.toml shows every key.
namespace ovir::apps {

/// Instead of a file: `ledger::free_policy`.
inline constexpr std::string_view free_policy_name = "free";

/// Ranges and keys are checked, the deterrence inequalities are not: `ledger::check` does that.
/// Errors are `malformed` and begin "path:line:column: ", or `invalid_argument` and begin "path: ".
[[nodiscard]] result<ledger::policy> parse_ledger_policy(const std::string& path,
                                                         std::string_view text);

} // namespace ovir::apps
