#pragma once

#include "actors/link/network.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ovir::actors {

/// The UDP socket of a node's QUIC links, for who looks for ways through NAT (actors/nat): small
/// datagrams that are no QUIC, and links over QUIC in place of ones that are looked for. Any
/// thread.
class udp_door {
public:
  struct calls {
    /// A datagram of anyone: HOST:PORT and limits::punch_datagram_bytes.
    std::function<void(const std::string& from, std::vector<std::byte>)> heard;
    /// A link that `connect` began was admitted. False: `wanted` is wanted no more. True: from then
    /// on the connection is this door's. Must not call back.
    std::function<bool(connection_id wanted)> stands;
    /// It was not; once, unless `drop` was called.
    std::function<void(connection_id wanted, const error&)> failed;
    /// This node dialled a member over QUIC at `peer.seen`, and the control link stands.
    std::function<void(const peer_info& peer)> reached;
  };

  virtual ~udp_door() = default;

  /// Who is told, one at a time; nothing is told after `serve({})`.
  virtual void serve(calls to) = 0;
  /// One datagram from the very socket of the QUIC links. May be lost.
  virtual void send(const std::string& to, std::vector<std::byte> datagram) = 0;
  /// A link over QUIC to a numeric address in place of `wanted`. False: there is no QUIC.
  [[nodiscard]] virtual bool connect(connection_id wanted, const std::string& to, channel kind,
                                     const node_id& expected) = 0;
  /// What `connect` began is of no use any more, unless it stands.
  virtual void drop(connection_id wanted) = 0;
  /// Whether a control link over QUIC with that node stands.
  [[nodiscard]] virtual bool is_linked(const node_id& node) const = 0;
  /// The port of the socket; 0: there is none.
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

} // namespace ovir::actors
