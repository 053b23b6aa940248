#pragma once

#include "actors/nat/stream_flow.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace ovir::actors {

/// One end of a relayed stream: bytes of a link's handshake and records go from a socket of this
/// process to the relay, and back. Holds at most limits::relay_window_bytes each way. Everything
/// runs on the thread of its context; `say` and `over` are called there, `over` once at most.
class stream_pump : public std::enable_shared_from_this<stream_pump> {
public:
  struct calls {
    std::function<void(nat_message)> say;   ///< to the relay
    std::function<void(const error&)> over; ///< the stream has ended; `say` is called no more
  };

  stream_pump(boost::asio::io_context& context, stream_flow flow, std::uint32_t number, calls to)
      : socket_(context), flow_(std::move(flow)), number_(number), calls_(std::move(to)) {}

  /// The descriptor of the socket's other side, for the link. Then `start` is to follow.
  [[nodiscard]] result<int> open();
  void start() { read(); }

  void on(const stream_bytes& m);
  void on(const stream_count& m);
  /// The relay, or the other node, has ended it.
  void ended(const error& reason);
  /// Ends it here, and tells the relay.
  void close(const error& reason);

private:
  void read();
  void write();

  boost::asio::local::stream_protocol::socket socket_;
  stream_flow flow_;
  std::uint32_t number_;
  calls calls_;
  std::array<std::byte, limits::nat_stream_piece_bytes_max> piece_{};
  std::deque<std::vector<std::byte>> incoming_; ///< not written yet; the first may be under way
  bool reading_{false};
  bool writing_{false};
  bool ending_{false}; ///< what has come is written, then it is over
  bool over_{false};
};

} // namespace ovir::actors
