#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of a network that scripts/netdelay makes.
namespace ovir::netdelay {

using std::chrono::nanoseconds;
/// A time that never goes back. Links get it as an argument and read no clock.
using instant = std::chrono::steady_clock::time_point;

inline constexpr std::size_t nodes_max = 64;
/// Bytes of an IP packet: the MTU of each device, as on an Ethernet.
inline constexpr std::size_t packet_bytes_max = 1'500;
/// Packets that the kernel keeps for the forwarder, of each device; 500 in a user namespace. It
/// drops others.
inline constexpr int device_packets_max = 2'000;
/// Packets taken from one device before the other devices and due packets have their turn.
inline constexpr int batch_packets_max = 32;

inline constexpr nanoseconds delay_max = std::chrono::seconds{60};
inline constexpr std::uint64_t rate_min = 8'000;           ///< bits per second
inline constexpr std::uint64_t rate_max = 100'000'000'000; ///< bits per second
/// Bytes that wait for a link with a rate, in one direction: the default, and what --buffer allows.
inline constexpr std::uint64_t buffer_bytes_default = 256 * 1024;
inline constexpr std::uint64_t buffer_bytes_min = packet_bytes_max;
inline constexpr std::uint64_t buffer_bytes_max = 64 * 1024 * 1024;

/// Bytes on their way in one direction of a link, and on all links.
inline constexpr std::size_t flight_bytes_max = 128 * 1024 * 1024;
inline constexpr std::size_t all_flight_bytes_max = 1024 * 1024 * 1024;
/// What a packet on its way counts in addition to its bytes, for the memory around it.
inline constexpr std::size_t packet_overhead_bytes = 64;

/// How long processes may take to end after SIGTERM, and after SIGKILL.
inline constexpr nanoseconds end_grace = std::chrono::seconds{5};

} // namespace ovir::netdelay
