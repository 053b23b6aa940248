#pragma once

#include "messages/sanitized.hpp"

namespace ovir::test {

/// Waits are so many times as long in programs that are looked at by sanitizers.
inline constexpr int slowness = address_sanitized ? 4 : 1;

} // namespace ovir::test
