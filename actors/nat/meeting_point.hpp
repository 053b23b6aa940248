#pragma once

#include "actors/link/nat_options.hpp"
#include "actors/nat/nat_message.hpp"
#include "messages/limits/nat.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {

/// One port of this machine from which a node connects to a helper and dials another node at the
/// same time as that dials it, and where it listens meanwhile. One port for each meeting: two
/// connections between the same two ports cannot be. Everything runs on the thread of its context.
class meeting_point : public std::enable_shared_from_this<meeting_point> {
public:
  struct calls {
    std::function<void(ready_stream)> helper; ///< connected; once at most
    std::function<void(ready_stream)> peer;   ///< each connection; limits::meet_sockets_max at most
    std::function<void(const error&)> failed; ///< no helper, or no peer came; once at most
  };

  meeting_point(boost::asio::io_context& context, calls to)
      : context_(context), timer_(context), acceptor_(context), calls_(std::move(to)) {}

  /// Takes a port and connects to the helper from there, within limits::meeting_wait. `port` 0: a
  /// free one.
  void reach(const std::string& helper_address, std::uint16_t port);
  /// The same port, for connections from it to other helpers.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// HOST:PORT of this machine towards the helper; empty before it is connected.
  [[nodiscard]] const std::string& own_address() const noexcept { return own_address_; }

  /// Dials these for limits::meet_dial_wait, each again when it is refused, and listens.
  void dial(const std::vector<std::string>& addresses);
  /// Nothing more is called.
  void stop();

private:
  using tcp = boost::asio::ip::tcp;
  struct attempt {
    tcp::endpoint to;
    tcp::socket socket;
    boost::asio::steady_timer pause;
    std::size_t tries{0};
    attempt(boost::asio::io_context& context, tcp::endpoint end)
        : to(std::move(end)), socket(context), pause(context) {}
  };

  [[nodiscard]] result<void> bind(tcp::socket& socket, const tcp& protocol);
  void listen();
  void accept();
  void try_now(attempt& one);
  void give(tcp::socket& socket);
  void fail_with(error reason);

  boost::asio::io_context& context_;
  boost::asio::steady_timer timer_;
  tcp::acceptor acceptor_;
  calls calls_;
  std::unique_ptr<tcp::socket> to_helper_;
  std::list<attempt> attempts_;
  std::string own_address_;
  tcp protocol_{tcp::v4()};
  std::uint16_t port_{0};
  std::size_t given_{0};
  bool stopped_{false};
};

} // namespace ovir::actors
