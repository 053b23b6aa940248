#pragma once

#include "messages/digest.hpp"

#include <cstdint>

namespace ovir::ledger {

/// What lies `steps` before `link` in its hash chain, c[i] = H("ovir/audit/v1/chain"; c[i + 1]):
/// whoever knows one link can check those behind it, and guess none.
[[nodiscard]] digest link_before(digest link, std::uint64_t steps);

} // namespace ovir::ledger
