#pragma once

#include "apps/console.hpp"
#include "messages/result.hpp"

#include <string>
#include <string_view>

/// Inputs for Divy's policy in JSON, and what it makes of them.
namespace ovir::apps {

/// `text` is {"cases": [{"input": {...}}, ...]}; `path` is for errors. The answer is {"cases":
/// [{"quote", "settle", "delta"}, ...]} with floating-point credits, and beside them "exact": the
/// same in micro-credits, as the ledger counts, with each share of the delta. `malformed` names the
/// case and the key that is missing or of another kind.
[[nodiscard]] result<json> evaluate_policy_vectors(const std::string& path, std::string_view text);

} // namespace ovir::apps
