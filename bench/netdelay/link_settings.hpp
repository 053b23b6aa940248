#pragma once

#include "bench/netdelay/limits.hpp"

#include <string>
#include <string_view>

/// What a link is to do, and how a command line says it. All functions throw std::invalid_argument
/// with one sentence where a text is wrong.
namespace ovir::netdelay {

/// One direction of a link between two machines.
struct link_settings {
  nanoseconds delay{0};
  nanoseconds jitter{0}; ///< a packet's delay is uniform in [delay - jitter, delay + jitter]
  double loss{0};        ///< share of the packets, 0 to 1
  std::uint64_t rate{0}; ///< bits per second; 0: no limit
  std::uint64_t buffer_bytes{buffer_bytes_default};
  friend bool operator==(const link_settings&, const link_settings&) = default;
};

/// Both directions between two machines, which count from 1.
struct pair_settings {
  std::size_t first{0};
  std::size_t second{0};
  link_settings link;
};

[[nodiscard]] nanoseconds parse_duration(std::string_view text); ///< "10ms", "250us", "1.5s", "0"
[[nodiscard]] double parse_share(std::string_view text);         ///< "0.1%"
[[nodiscard]] std::uint64_t parse_rate(std::string_view text);   ///< "100mbit", "1gbit", "64kbit"
[[nodiscard]] std::uint64_t parse_bytes(std::string_view text);  ///< "65536", "256KiB", "1MiB"
/// "1,3=200ms" or "1,3=200ms,jitter=5ms,loss=1%,rate=10mbit,buffer=1MiB"; what it leaves out is as
/// in `others`.
[[nodiscard]] pair_settings parse_pair(std::string_view text, std::size_t nodes,
                                       const link_settings& others);

/// Throws where settings contradict each other or need more than `flight_bytes_max`.
void check_settings(const link_settings& settings);

} // namespace ovir::netdelay
