#pragma once

#include <cstddef>

/// Bounds of what admin shells ask of a node, beside those of messages/limits/general.hpp.
namespace ovir::limits {

// Of commands of one shell, while others wait: a larger one waits for as many turns as it has of
// these bytes.
inline constexpr std::size_t admin_turn_bytes = 64U << 10U;

} // namespace ovir::limits
