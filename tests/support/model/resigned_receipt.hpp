#pragma once

#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/result.hpp"

#include <span>

namespace ovir::test {

/// A forger's receipt: `honest` with `wrong` stated at `place`, everything signed anew by `keys`,
/// the lead's first, then one for each stage. It passes `check_receipt`. `invalid_argument` unless
/// `place` is a unit of it and there is a key for everybody.
[[nodiscard]] result<receipt> resign(const receipt& honest, const audit_place& place,
                                     const digest& wrong, std::span<const secret_key> keys);

} // namespace ovir::test
