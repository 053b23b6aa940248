#pragma once

#include "messages/address_prefix.hpp"

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace ovir::actors {

/// Where a datagram comes from or goes to.
struct udp_address {
  bool six{false};                       ///< IPv6
  std::array<unsigned char, 16> bytes{}; ///< of an IPv4 address the first four
  std::uint16_t port{0};

  friend auto operator<=>(const udp_address&, const udp_address&) = default;
};

[[nodiscard]] address_prefix prefix_of(const udp_address& address) noexcept;
/// "10.0.0.7:7400", "[::1]:7400".
[[nodiscard]] std::string to_string(const udp_address& address);
/// Without the port, as `connection_slots::arrival::address` wants it.
[[nodiscard]] std::string host_of(const udp_address& address);

/// As the system's calls have it; returns its length.
[[nodiscard]] socklen_t to_system(const udp_address& address, sockaddr_storage& out) noexcept;
/// Nothing for another family.
[[nodiscard]] std::optional<udp_address> from_system(const sockaddr_storage& address) noexcept;

} // namespace ovir::actors
