#pragma once

#include "messages/result.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace ovir::actors {

/// A port of this machine that a router leads to.
struct mapped_port {
  std::string address; ///< HOST:PORT outside, numeric; what the router says, so it is to be tested
  std::chrono::seconds lease{0}; ///< 0: for ever
  std::string by;                ///< "NAT-PMP" or "UPnP", and which protocols where both were asked
};

/// The router between this machine and the network outside, as far as it maps ports. Calls wait for
/// answers, limits::router_wait for each: one thread that nothing else needs makes them. Tests put
/// another one in its place.
class router {
public:
  virtual ~router() = default;

  /// Its address outside, without a port, and how it is asked; maps nothing.
  [[nodiscard]] virtual result<mapped_port> look() = 0;
  /// Maps a TCP port of this machine for about `lease`, or renews that. `not_found` when no router
  /// answers, `unsupported` when one refuses.
  [[nodiscard]] virtual result<mapped_port> map(std::uint16_t port, std::chrono::seconds lease) = 0;
  /// What `map` waits for is given up, soon. Any thread.
  virtual void cancel() noexcept = 0;
  /// Takes the mapping of that port back.
  [[nodiscard]] virtual result<void> unmap(std::uint16_t port) = 0;
};

/// NAT-PMP at the default gateway (libnatpmp), then UPnP (miniupnpc). `udp_too`: the same port is
/// mapped for UDP as well where the router does that, and taken back with the other.
[[nodiscard]] std::unique_ptr<router> make_home_router(bool udp_too = false);

} // namespace ovir::actors
