#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>

namespace ovir {

/// What counts as one address of a peer: an IPv4 address, or the /64 of an IPv6 address, which one
/// machine has whole. An IPv4 address written as IPv6 (::ffff:10.0.0.7) is the IPv4 address.
struct address_prefix {
  bool four{false};
  std::uint64_t bits{0};

  friend auto operator<=>(const address_prefix&, const address_prefix&) = default;
};

[[nodiscard]] address_prefix prefix_of(std::uint32_t ipv4) noexcept;
[[nodiscard]] address_prefix prefix_of(const std::array<unsigned char, 16>& ipv6) noexcept;
/// What one customer of a provider may have: the /24 of an IPv4 address, the /48 of an IPv6
/// address.
[[nodiscard]] address_prefix site_of(const address_prefix& prefix) noexcept;
/// This machine itself: 127.0.0.0/8, ::1, and the addresses that mean "any" (0.0.0.0, ::).
[[nodiscard]] bool is_this_machine(const address_prefix& prefix) noexcept;

/// How often something expensive is done for each address: limits::handshakes_burst at once, then
/// once per limits::handshake_interval. Remembers limits::handshake_prefixes_max addresses.
class prefix_budget {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// False: too often. This machine itself is not counted.
  [[nodiscard]] bool spend(const address_prefix& prefix, time_point now);

private:
  std::map<address_prefix, time_point> full_again_; ///< when nothing of it is spent
};

} // namespace ovir
