#pragma once

#include "actors/link/connection_slots.hpp"
#include "actors/link/tls_engine.hpp"
#include "actors/link/tls_network.hpp"
#include "messages/address_prefix.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <memory>
#include <optional>

namespace ovir::actors {

/// A connection both sides agreed to, on its way from admission to its own thread. Its socket has
/// nothing under way; the engine may hold bytes of first messages.
struct admitted_connection {
  boost::asio::ip::tcp::socket socket;
  std::unique_ptr<tls_engine> engine;
  peer_info peer;
  connection_slots::slot place;
  std::optional<digest> pass{}; ///< as of `tls_network::pass`
};

/// What the parts of a `tls_network` need of it. Outlives every connection; the fields do not
/// change once the first one begins.
class tls_host {
public:
  tls_host(const secret_key& node_key, tls_identity tls, const tls_options& options,
           network_handler& calls)
      : key(node_key), handler(calls), identity(std::move(tls)), self(options.identity),
        deadlines(options.deadlines), traffic(options.traffic),
        takes_guests(options.nat.takes_guests) {}
  tls_host(const tls_host&) = delete;
  tls_host& operator=(const tls_host&) = delete;

  const secret_key& key;
  network_handler& handler;
  tls_identity identity;
  network_identity self;
  link_deadlines deadlines;
  std::shared_ptr<network_traffic> traffic;
  bool takes_guests; ///< relay connections of others

  /// This node listens for its own machine alone, or nowhere: its peers are processes beside it.
  [[nodiscard]] bool is_local() const;
  /// Whether another handshake is computed for the address at the other end now. Counts it; called
  /// on the thread that accepts.
  [[nodiscard]] bool may_shake(const boost::asio::ip::tcp::socket& socket);
  [[nodiscard]] bool may_shake(const address_prefix& from) {
    return handshakes_.spend(from, std::chrono::steady_clock::now());
  }

  /// Takes a connection over. Called on the thread that admitted it.
  virtual void admitted(admitted_connection connection) = 0;
  /// Nothing came of it. The handler hears of those that we began.
  virtual void not_admitted(const peer_info& peer, const error& reason) = 0;
  /// A `close` that came while the connection changed hands.
  virtual void close_elsewhere(connection_id connection, error reason) = 0;
  /// A link is over; its handler was told.
  virtual void forget(connection_id connection) = 0;

protected:
  ~tls_host() = default;

private:
  prefix_budget handshakes_;
};

[[nodiscard]] address_prefix prefix_of(const boost::asio::ip::address& address);

/// Of the other end; all zero where the system does not say.
[[nodiscard]] address_prefix remote_prefix(const boost::asio::ip::tcp::socket& socket);
/// "10.0.0.7:40112", or "an unknown address" where the system does not say.
[[nodiscard]] std::string remote_address(const boost::asio::ip::tcp::socket& socket);

/// As of `tls_network::pass`, after the handshake: from the connection's secret and the addresses
/// that both ends see. A proxy between them changes an address, so that it goes on carrying all.
[[nodiscard]] std::optional<digest>
pass_of(const tls_engine& engine, const boost::asio::ip::tcp::socket& socket, bool incoming);

/// Small messages leave at once, and a peer whose machine is gone is noticed within a minute.
void set_link_options(boost::asio::ip::tcp::socket& socket);

} // namespace ovir::actors
