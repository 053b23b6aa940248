#pragma once

#include "bench/netdelay/limits.hpp"

#include <cstddef>

/// Measurements from the machine of this process to another one of its world. They print one line
/// and return an exit code; errors as `network_of` throws them.
namespace ovir::netdelay {

inline constexpr std::size_t echoes_max = 1'000'000;

struct ping_options {
  std::size_t to{0};
  std::size_t count{200};
  nanoseconds wait{std::chrono::seconds{2}}; ///< for each echo; then it counts as lost
  nanoseconds beyond{0};                     ///< the line also says by how much the median is more
};

/// Datagrams that come back, one after another. Has the forwarder's priority, so that it measures
/// the network and not what else computes. 0: at least one came back; 1: none.
int ping(const ping_options& options);

struct bulk_options {
  std::size_t to{0};
  nanoseconds time{std::chrono::seconds{1}};
};

/// One TCP connection that sends all it can.
int bulk(const bulk_options& options);

} // namespace ovir::netdelay
