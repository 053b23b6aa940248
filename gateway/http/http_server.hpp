#pragma once

#include "gateway/http/host_check.hpp"
#include "gateway/http/http_exchange.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ovir::gateway {

struct http_options {
  std::string listen;          ///< HOST:PORT; port 0: any free one
  std::string also;            ///< another one, for the same requests; empty: none
  std::string tls_certificate; ///< PEM file, the chain; empty: no TLS
  std::string tls_key;         ///< PEM file
  host_rule callers;           ///< looked at before the handler sees a request
  std::size_t connections_max{limits::http_connections_max};
  std::size_t body_bytes_max{limits::http_body_bytes_max};
  std::chrono::milliseconds idle_wait{limits::http_idle_wait};     ///< between requests
  std::chrono::milliseconds header_wait{limits::http_header_wait}; ///< from a request's first byte
  std::chrono::milliseconds body_wait{limits::http_body_wait};
  std::chrono::milliseconds write_wait{limits::http_write_wait}; ///< for a client to read anything
};

/// HTTP/1.1 on a thread of its own, however many connections there are: requests of one connection
/// one after another, at most limits::http_ahead_bytes_max read ahead. There are no more places
/// than descriptors, of which limits::descriptors_reserved are left to the rest of the process.
/// Where all places are taken, the address with the most of them (an IPv6 /64 is one) loses the
/// connection that waits longest without a request under way; where each has one, a newcomer is
/// told 503 (up to limits::http_turned_away_max at a time, and without TLS) or closed. TLS
/// handshakes are counted by address (messages/address_prefix.hpp).
class http_server {
public:
  virtual ~http_server() = default;

  /// Listens and answers. `handler` outlives the server. Errors name the option.
  [[nodiscard]] static result<std::unique_ptr<http_server>> start(const http_options& options,
                                                                  http_handler& handler);

  [[nodiscard]] virtual std::string listen_address() const = 0;
  /// Runs `act` on the server's thread. Any thread.
  virtual void post(std::function<void()> act) = 0;
  /// Runs `act` on a second thread, for what takes long; one at a time, in order. Any thread.
  virtual void post_long(std::function<void()> act) = 0;
  /// Takes no new connection and closes each when its request is answered. Any thread.
  virtual void drain() = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0; ///< any thread
};

} // namespace ovir::gateway
