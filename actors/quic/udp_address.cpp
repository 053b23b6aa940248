#include "actors/quic/udp_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace ovir::actors {

address_prefix prefix_of(const udp_address& address) noexcept {
  if (address.six) {
    return ovir::prefix_of(address.bytes);
  }
  std::uint32_t four = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    four = (four << 8U) | address.bytes[i];
  }
  return ovir::prefix_of(four);
}

std::string host_of(const udp_address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const char* const written = ::inet_ntop(address.six ? AF_INET6 : AF_INET, address.bytes.data(),
                                          text.data(), static_cast<socklen_t>(text.size()));
  return written == nullptr ? std::string{} : std::string{written};
}

std::string to_string(const udp_address& address) {
  return address.six ? fmt::format("[{}]:{}", host_of(address), address.port)
                     : fmt::format("{}:{}", host_of(address), address.port);
}

socklen_t to_system(const udp_address& address, sockaddr_storage& out) noexcept {
  out = {};
  if (address.six) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(address.port);
    std::memcpy(&six.sin6_addr, address.bytes.data(), 16);
    std::memcpy(&out, &six, sizeof six);
    return sizeof six;
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(address.port);
  std::memcpy(&four.sin_addr, address.bytes.data(), 4);
  std::memcpy(&out, &four, sizeof four);
  return sizeof four;
}

std::optional<udp_address> from_system(const sockaddr_storage& address) noexcept {
  udp_address out;
  if (address.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    std::memcpy(out.bytes.data(), &four.sin_addr, 4);
    out.port = ntohs(four.sin_port);
    return out;
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    std::memcpy(out.bytes.data(), &six.sin6_addr, 16);
    out.six = true;
    out.port = ntohs(six.sin6_port);
    return out;
  }
  return std::nullopt;
}

} // namespace ovir::actors
