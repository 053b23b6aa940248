#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of requests that show what they say to few nodes (messages/request/privacy.hpp).
namespace ovir::limits {

inline constexpr std::size_t ends_nodes_max = 16; // that may compute the ends, the asker's included
inline constexpr std::uint32_t ends_layers_max = 64; // of each end
inline constexpr std::uint32_t ends_first_usual = 2;
inline constexpr std::uint32_t ends_last_usual = 1;
// For nodes that just come: then a request whose ends are on none of its nodes is refused.
inline constexpr std::chrono::seconds ends_wait{5};

} // namespace ovir::limits
