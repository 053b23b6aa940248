#pragma once

#include <chrono>
#include <cstddef>

/// Bounds of what nodes tell Prometheus (actors/operator/metrics_actor.hpp).
namespace ovir::limits {

/// Who has not answered by then is left out of the page, and counted.
inline constexpr std::chrono::milliseconds metrics_wait{1'000};
/// Pages asked for while one is made are that one; beyond so many they are empty.
inline constexpr std::size_t metrics_askers_max = 64;
/// Connections to a node's [metrics] address.
inline constexpr std::size_t metrics_connections_max = 256; // then the longest idle one goes
/// A GET has no body; the least that the server takes.
inline constexpr std::size_t metrics_body_bytes_max = 1U << 10U;

} // namespace ovir::limits
