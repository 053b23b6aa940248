#pragma once

#include "actors/link/tls_host.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// A connection until both sides agree to it: TCP, TLS, hello, verdict (docs/formats/link.md), each
/// within its deadline. Everything but the constructor runs on its context's thread. Lives as long
/// as something is under way on its socket.
class tls_admission : public std::enable_shared_from_this<tls_admission> {
public:
  /// Which channels a listener takes; connecting, the one that is wanted.
  struct channels {
    bool members{true};
    bool admin{true};
  };

  /// What is wanted of a connection that this node begins.
  struct target {
    std::string address;
    channel kind{channel::control};
    node_id expected{}; ///< may be empty
    bool told{false}; ///< a peer said so: not an address of this machine, unless this node has one
  };

  /// Someone connected to us.
  tls_admission(boost::asio::io_context& context, tls_host& host, connection_id id, channels taken);
  /// We connect.
  tls_admission(boost::asio::io_context& context, tls_host& host, connection_id id,
                connection_slots::slot place, const target& to);

  void accept(boost::asio::ip::tcp::socket socket, connection_slots::slot place);
  void connect();
  /// The same, over a stream that is there.
  void accept_over(const ready_stream& over, connection_slots::slot place);
  void connect_over(const ready_stream& over);
  /// Ends it with this reason, or the link it has become.
  void cancel(error reason);
  /// Ends one that is not admitted: others need its place.
  void give_way();

  /// Who is at the other end, as far as is known.
  [[nodiscard]] const peer_info& peer() const noexcept { return peer_; }
  /// The channel that `connect` asked for. Any thread.
  [[nodiscard]] channel wanted() const noexcept { return wanted_kind_; }

private:
  enum class stage : std::uint8_t {
    connecting,
    greeting, ///< the peer's first record is to come; until then it costs no more than its socket
    handshake,
    hello_front,
    hello_rest,
    verdict_front,
    verdict_rest,
    agreed,  ///< what is to be sent goes out, then it changes hands
    parting, ///< reported; the last bytes go out and the peer's are thrown away
    over,
  };

  // Connecting
  [[nodiscard]] bool take(const ready_stream& over);
  void connect_to(const boost::asio::ip::tcp::resolver::results_type& endpoints);
  void await_greeting();
  void read_greeting();
  void on_greeting(std::size_t bytes);
  void begin_tls();
  void await_deadline(std::chrono::milliseconds wait, std::string what);

  // Bytes
  void read();
  void flush();
  void advance();
  /// Whether `wanted_` bytes are in `incoming_`.
  [[nodiscard]] bool fill();
  void want(stage next, std::size_t bytes);
  void say(std::span<const std::byte> bytes);

  // Steps: each returns whether it can go on without more input.
  [[nodiscard]] bool step();
  [[nodiscard]] bool step_handshake();
  [[nodiscard]] bool on_hello_front();
  [[nodiscard]] bool on_hello_rest();
  [[nodiscard]] bool on_verdict();
  void say_hello();
  [[nodiscard]] result<void> judge(const link_hello& hello);
  [[nodiscard]] result<bool> token_bound(const link_hello& hello) const;

  // Ends
  void refuse(const error& reason);
  void part(const error& reason);
  void abort(const error& reason);
  void report(const error& reason);
  void hand_over();
  void finish_parting();
  void discard();

  tls_host& host_;
  peer_info peer_;
  channel wanted_kind_{channel::control};
  node_id expected_;
  bool told_{false};
  channels taken_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer deadline_;
  connection_slots::slot place_;
  std::unique_ptr<tls_engine> engine_;
  stage stage_{stage::connecting};
  std::string where_;                  ///< the other end for sentences
  std::optional<address_prefix> from_; ///< of a `ready_stream`
  std::vector<std::byte> incoming_;
  std::size_t wanted_{0};
  std::vector<std::byte> writing_;
  bool reading_{false};
  bool write_busy_{false};
  bool sent_all_{false};
};

} // namespace ovir::actors
