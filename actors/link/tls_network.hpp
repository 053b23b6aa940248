#pragma once

#include "actors/link/link_transport.hpp"
#include "actors/link/nat_options.hpp"
#include "actors/link/network.hpp"
#include "actors/link/network_traffic.hpp"
#include "messages/digest.hpp"
#include "messages/limits/general.hpp"
#include "messages/signing.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ovir::actors {

/// How long a peer may take. Tests shorten them.
struct link_deadlines {
  std::chrono::milliseconds connect{limits::connect_deadline};
  std::chrono::milliseconds admission{limits::admission_deadline};
  std::chrono::milliseconds half_message{limits::half_message_deadline};
};

struct tls_options {
  network_identity identity; ///< address empty: the one it listens on
  std::string listen;        ///< HOST:PORT, port 0: any; empty: connects only
  std::string admin_listen;  ///< for admin shells only; empty: on `listen` as well
  link_deadlines deadlines;
  /// How long the thread of data connections looks for the next message before it sleeps; 0: not at
  /// all. It takes a processor meanwhile.
  std::chrono::microseconds busy_read{0};
  /// Data connections within this machine may go through memory (actors/shared/shared_network.hpp).
  bool shared_memory{false};
  /// For `start_links` (actors/quic/either_network.hpp); a `tls_network` is TCP.
  link_transport transport{link_transport::tcp};
  /// Counts what goes over the wire.
  std::shared_ptr<network_traffic> traffic{std::make_shared<network_traffic>()};
  nat_options nat; ///< of a `reaching_network`
};

/// `network` over TCP and TLS 1.3 (OpenSSL, Boost.Asio). The certificate of each side is made from
/// its Ed25519 node key, so the handshake itself proves the key; no authority is asked. Control and
/// admin connections share a thread, data and bulk connections have one each. Whoever connects to
/// us is met on a fourth until it is admitted, so that strangers delay nobody; `admit` is called
/// there.
///
/// Bounds, all in messages/limits/general.hpp and links.hpp: connections in all, those not
/// yet admitted by port and progress (actors/link/connection_slots.hpp), those of one address;
/// handshakes computed for one address; a deadline from accept to admission and for a half message;
/// each kind's length before anything is reserved; bytes waiting to be sent and bytes received but
/// not yet released, per connection. Who breaks one loses its connection and nothing else. What a
/// peer told (`connect` with the node that is expected) never leads to an address of this machine,
/// unless the node itself listens for its machine alone or the address was configured.
class tls_network : public listening_network {
public:
  /// `io_failed` when an address cannot be listened on. `key` and `handler` outlive it.
  [[nodiscard]] static result<std::unique_ptr<tls_network>>
  start(const secret_key& key, const tls_options& options, network_handler& handler);

  /// As `connect`, over a stream that is there: this side is the one that connects.
  virtual connection_id connect_over(ready_stream over, channel kind, const node_id& expected) = 0;
  /// Admits the node at the other end as one that connected to the listener.
  virtual void accept_over(ready_stream over) = 0;
};

/// What starts the links of a node: `start_tls` and what takes its place.
using network_starter = std::function<result<std::unique_ptr<listening_network>>(
    const secret_key& key, const tls_options& options, network_handler& handler)>;

/// As `tls_network::start`.
[[nodiscard]] result<std::unique_ptr<listening_network>>
start_tls(const secret_key& key, const tls_options& options, network_handler& handler);

} // namespace ovir::actors
