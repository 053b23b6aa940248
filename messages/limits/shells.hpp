#pragma once

#include <cstddef>

/// Bounds of what admin shells ask of a node, beside those of messages/limits/general.hpp.
namespace ovir::limits {

// A command of a shell that is larger lets a turn of other shells pass for each so many bytes.
inline constexpr std::size_t admin_turn_bytes = 64U << 10U;

} // namespace ovir::limits
