#pragma once

#include <cstddef>

/// Bounds of what a gateway spends on clients that it has no place for.
namespace ovir::limits {

// Connections beyond limits::http_connections_max that are told so with 503, at once; further ones
// are closed without a word.
inline constexpr std::size_t http_turned_away_max = 64;

} // namespace ovir::limits
