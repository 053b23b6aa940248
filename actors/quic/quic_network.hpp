#pragma once

#include "actors/link/network.hpp"
#include "actors/link/tls_network.hpp"
#include "messages/signing.hpp"

#include <functional>
#include <memory>
#include <string>

namespace ovir::actors {

struct quic_options {
  network_identity identity; ///< address empty: the one it listens on
  std::string listen;        ///< HOST:PORT, port 0: any; empty: connects only
  link_deadlines deadlines;
  std::shared_ptr<network_traffic> traffic{std::make_shared<network_traffic>()};
  /// As `quic_link_parts::unanswered`; called on the network's thread.
  std::function<bool(const peer_info&, const error&)> unanswered{};
  /// A datagram of limits::punch_datagram_bytes that is no QUIC: too short for a packet, and no
  /// reset, since none of the two highest bits of its first byte is set. At most
  /// limits::punch_heard_refill a second, after a burst. Likewise.
  std::function<void(const std::string& from, std::vector<std::byte>)> other{};
};

/// `network` over QUIC: a thread with its sockets around a `quic_endpoint`. Takes control, data and
/// bulk channels; shells connect over TCP. Its connections have numbers of which the highest bit is
/// set, those of a `tls_network` have not. What a peer told never leads to an address of this
/// machine, as in `tls_network`.
class quic_network : public listening_network {
public:
  /// The highest bit of each of its connection ids.
  static constexpr std::uint64_t id_bit = std::uint64_t{1} << 63U;

  /// `io_failed` when the address cannot be listened on. `key` and `handler` outlive it.
  [[nodiscard]] static result<std::unique_ptr<quic_network>>
  start(const secret_key& key, const quic_options& options, network_handler& handler);

  /// Sends one datagram to a numeric address, from the socket of the connections. It may be lost.
  /// Any thread.
  virtual void send_datagram(const std::string& to, std::vector<std::byte> datagram) = 0;
};

} // namespace ovir::actors
