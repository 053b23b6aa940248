#pragma once

#include "gateway/http/http_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <chrono>
#include <cstddef>
#include <memory>

namespace ovir::gateway {

/// What the connections of a server share. One thread.
struct http_shared {
  const http_options& options;
  http_handler& handler;
  bool draining{false};
  std::size_t uploads{0}; ///< bodies larger than the usual ones, being read or served
};

/// A connection, from accept to its end. It lives as long as something of it is under way; the
/// server asks it now and then whether its time is over.
class http_connection {
public:
  using time_point = std::chrono::steady_clock::time_point;

  virtual ~http_connection() = default;
  virtual void begin() = 0;
  /// Instead of `begin`: says 503, whatever is asked, and ends.
  virtual void turn_away() = 0;
  virtual void check_time(time_point now) = 0;
  /// No further request after the one under way.
  virtual void drain() = 0;
  virtual void close() = 0;
  /// Since when it waits for a request or a part of one; the far future while one is answered.
  [[nodiscard]] virtual time_point idle_since() const = 0;
  [[nodiscard]] virtual bool closed() const = 0;
};

/// `tls` null: plain TCP.
[[nodiscard]] std::shared_ptr<http_connection>
make_http_connection(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls,
                     http_shared& shared);

} // namespace ovir::gateway
