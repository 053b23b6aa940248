#pragma once

#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/result.hpp"

#include <span>

namespace ovir::compute {

/// A receipt whose one wrong unit is known to who made it: `honest` with `wrong` stated at `place`,
/// everything signed anew by `keys`, the lead's first, then one for each stage. It passes
/// `check_receipt`, so whoever answers a question about it must compute. `invalid_argument` unless
/// `place` is a unit of it and there is a key for everybody.
[[nodiscard]] result<receipt> plant(const receipt& honest, const audit_place& place,
                                    const digest& wrong, std::span<const secret_key> keys);

} // namespace ovir::compute
