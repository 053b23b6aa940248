#include "messages/address_prefix.hpp"

#include "messages/limits/links.hpp"

#include <algorithm>

namespace ovir {

address_prefix prefix_of(std::uint32_t ipv4) noexcept { return {true, ipv4}; }

address_prefix prefix_of(const std::array<unsigned char, 16>& ipv6) noexcept {
  const auto number = [&ipv6](std::size_t first, std::size_t last) {
    std::uint64_t bits = 0;
    for (std::size_t i = first; i < last; ++i) {
      bits = bits << 8U | ipv6[i];
    }
    return bits;
  };
  const bool mapped = number(0, 8) == 0 && number(8, 12) == 0xffffU;
  return mapped ? address_prefix{true, number(12, 16)} : address_prefix{false, number(0, 8)};
}

address_prefix site_of(const address_prefix& prefix) noexcept {
  constexpr unsigned host_bits = 8;    // of 32
  constexpr unsigned subnet_bits = 16; // of 64
  const unsigned cut = prefix.four ? host_bits : subnet_bits;
  return {prefix.four, prefix.bits >> cut << cut};
}

bool is_this_machine(const address_prefix& prefix) noexcept {
  constexpr std::uint64_t loopback_net = 127;
  return prefix.four ? prefix.bits >> 24U == loopback_net || prefix.bits == 0 : prefix.bits == 0;
}

bool prefix_budget::spend(const address_prefix& prefix, time_point now) {
  if (is_this_machine(prefix)) {
    return true;
  }
  if (full_again_.size() >= limits::handshake_prefixes_max && !full_again_.contains(prefix)) {
    std::erase_if(full_again_, [now](const auto& one) { return one.second <= now; });
    if (full_again_.size() >= limits::handshake_prefixes_max) {
      full_again_.clear(); // so many addresses are not held back one by one
    }
  }
  time_point& full = full_again_[prefix];
  full = std::max(full, now);
  if (full - now >= limits::handshakes_burst * limits::handshake_interval) {
    return false;
  }
  full += limits::handshake_interval;
  return true;
}

} // namespace ovir
