#pragma once

#include "messages/evidence/audit.hpp"

#include <string>

namespace ovir::actors {

/// What an audit is about, for people: "layer 3 over window 1".
[[nodiscard]] std::string place_text(const audit_place& place);
/// Who was convicted of what, in one sentence.
[[nodiscard]] std::string conviction_text(const conviction& c);

} // namespace ovir::actors
