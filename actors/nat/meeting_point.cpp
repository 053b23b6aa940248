#include "actors/nat/meeting_point.hpp"

#include "actors/link/link_format.hpp"
#include "actors/nat/address_rules.hpp"

#include <boost/asio/ip/v6_only.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

std::string text_of(const asio::ip::tcp::endpoint& end) {
  return to_string(host_and_port{end.address().to_string(), end.port()});
}

result<asio::ip::tcp::endpoint> endpoint_of(const std::string& address) {
  OVIR_ASSIGN(const host_and_port parts, parse_host_and_port(address));
  error_code is_name;
  const auto host = asio::ip::make_address(parts.host, is_name);
  if (is_name) {
    return fail(errc::invalid_argument, "{} is no numeric address", address);
  }
  return asio::ip::tcp::endpoint{host, parts.port};
}

/// A sum of tries that fits the time both sides dial.
constexpr std::size_t tries_max =
    static_cast<std::size_t>(limits::meet_dial_wait / limits::meet_dial_every);

} // namespace

result<void> meeting_point::bind(tcp::socket& socket, const tcp& protocol) {
  error_code problem;
  socket.open(protocol, problem);
  if (!problem) {
    socket.set_option(tcp::socket::reuse_address{true}, problem);
  }
  if (!problem) {
    socket.set_option(reuse_port{true}, problem);
  }
  if (!problem) {
    socket.bind(tcp::endpoint{protocol, port_}, problem);
  }
  if (problem) {
    return fail(errc::io_failed, "no port can be taken to meet another node: {}",
                problem.message());
  }
  return {};
}

void meeting_point::reach(const std::string& helper_address, std::uint16_t port) {
  const auto end = endpoint_of(helper_address);
  if (!end) {
    return fail_with(end.error());
  }
  port_ = port;
  protocol_ = end->protocol();
  to_helper_ = std::make_unique<tcp::socket>(context_);
  if (const auto bound = bind(*to_helper_, protocol_); !bound) {
    return fail_with(bound.error());
  }
  error_code ignored;
  port_ = to_helper_->local_endpoint(ignored).port();
  timer_.expires_after(limits::meeting_wait);
  timer_.async_wait([self = shared_from_this()](const error_code& problem) {
    if (!problem) {
      self->fail_with({errc::timed_out, "the helper is not reached in time"});
    }
  });
  to_helper_->async_connect(
      *end, [self = shared_from_this(), helper_address, end = *end](const error_code& problem) {
        if (self->stopped_) {
          return;
        }
        if (problem) {
          self->fail_with(fail(errc::peer_lost, "the helper at {} is not reached: {}",
                               helper_address, problem.message()));
          return;
        }
        self->timer_.cancel();
        error_code unknown;
        const tcp::endpoint own = self->to_helper_->local_endpoint(unknown);
        const int descriptor = self->to_helper_->release(unknown);
        if (unknown) {
          self->fail_with({errc::io_failed, "a socket cannot change its thread"});
          return;
        }
        self->own_address_ = text_of(own);
        const auto from = prefix_of_address(helper_address);
        self->calls_.helper({descriptor, helper_address, from.value_or(address_prefix{})});
      });
}

void meeting_point::dial(const std::vector<std::string>& addresses) {
  if (stopped_) {
    return;
  }
  timer_.expires_after(limits::meet_dial_wait);
  timer_.async_wait([self = shared_from_this()](const error_code& problem) {
    if (!problem) {
      self->fail_with({errc::timed_out, "the two nodes did not meet"});
    }
  });
  listen();
  for (const std::string& one : addresses) {
    if (const auto end = endpoint_of(one); end && end->protocol() == protocol_) {
      try_now(attempts_.emplace_back(context_, *end));
    }
  }
}

void meeting_point::listen() {
  error_code problem;
  acceptor_.open(protocol_, problem);
  acceptor_.set_option(tcp::acceptor::reuse_address{true}, problem);
  acceptor_.set_option(reuse_port{true}, problem);
  acceptor_.bind(tcp::endpoint{protocol_, port_}, problem);
  acceptor_.listen(static_cast<int>(limits::meet_sockets_max), problem);
  if (!problem) {
    accept(); // else dialling alone has to do
  }
}

void meeting_point::accept() {
  acceptor_.async_accept(
      [self = shared_from_this()](const error_code& problem, tcp::socket socket) {
        if (self->stopped_ || problem) {
          return;
        }
        self->give(socket);
        self->accept();
      });
}

void meeting_point::try_now(attempt& one) {
  error_code ignored;
  one.socket.close(ignored);
  if (stopped_ || ++one.tries > tries_max || !bind(one.socket, protocol_)) {
    return;
  }
  one.socket.async_connect(one.to, [self = shared_from_this(), &one](const error_code& problem) {
    if (self->stopped_) {
      return;
    }
    if (!problem) {
      self->give(one.socket);
      return;
    }
    // A router that knows nothing of this yet has refused it: the other side opens the way.
    one.pause.expires_after(limits::meet_dial_every);
    one.pause.async_wait([self, &one](const error_code& stopped) {
      if (!stopped && !self->stopped_) {
        self->try_now(one);
      }
    });
  });
}

void meeting_point::give(tcp::socket& socket) {
  error_code problem;
  const tcp::endpoint end = socket.remote_endpoint(problem);
  if (problem || given_ >= limits::meet_sockets_max) {
    socket.close(problem);
    return;
  }
  const int descriptor = socket.release(problem);
  if (problem) {
    return;
  }
  ++given_;
  const std::string where = text_of(end);
  calls_.peer({descriptor, where, prefix_of_address(where).value_or(address_prefix{})});
}

void meeting_point::fail_with(error reason) {
  if (!stopped_) {
    stop();
    calls_.failed(reason);
  }
}

void meeting_point::stop() {
  stopped_ = true;
  error_code ignored;
  timer_.cancel();
  acceptor_.close(ignored);
  if (to_helper_) {
    to_helper_->close(ignored);
  }
  for (attempt& one : attempts_) {
    one.socket.close(ignored);
    one.pause.cancel();
  }
}

} // namespace ovir::actors
