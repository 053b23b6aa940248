#include "bench/netdelay/probe.hpp"

#include "bench/netdelay/inside.hpp"
#include "bench/netdelay/priority.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <vector>

namespace ovir::netdelay {

namespace {

using clock = std::chrono::steady_clock;

/// How long a connection and its last bytes may take.
constexpr std::chrono::seconds tcp_wait{30};

double milliseconds(nanoseconds time) { return 1e-6 * static_cast<double>(time.count()); }

/// A socket of machine `node` on a free port, and its address. Sockets stay in the network that
/// they were made in, wherever the process goes.
descriptor bound_socket(int kind, std::size_t node, sockaddr_in& address) {
  descriptor socket = made(::socket(AF_INET, kind | SOCK_CLOEXEC, 0), "a socket failed");
  address = {};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, address_of(node).c_str(), &address.sin_addr);
  auto* const general = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), general, size) != 0 ||
      ::getsockname(socket.get(), general, &size) != 0) {
    fail_with_errno(fmt::format("binding {} failed", address_of(node)));
  }
  return socket;
}

void connect_to(const descriptor& socket, const sockaddr_in& address) {
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail_with_errno(fmt::format("connecting to port {} failed", ntohs(address.sin_port)));
  }
}

class echoes {
public:
  /// `here` is made in this network, `there` in the other.
  explicit echoes(std::size_t to) : here_(made(::socket(AF_INET, SOCK_DGRAM, 0), "a socket")) {
    const descriptor network = network_of(to);
    enter(network, to);
    sockaddr_in address{};
    there_ = bound_socket(SOCK_DGRAM, to, address);
    connect_to(here_, address);
  }

  /// The round trip of one datagram; none: it was lost.
  std::optional<nanoseconds> round_trip(std::uint64_t number, nanoseconds wait) {
    payload sent{number};
    const clock::time_point began = clock::now();
    if (::send(here_.get(), sent.data(), sizeof sent, 0) < 0) {
      return std::nullopt;
    }
    while (true) {
      const nanoseconds left = began + wait - clock::now();
      std::array<pollfd, 2> sockets{{{here_.get(), POLLIN, 0}, {there_.get(), POLLIN, 0}}};
      const timespec limit{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
      if (left <= nanoseconds{0} || ::ppoll(sockets.data(), 2, &limit, nullptr) <= 0) {
        return std::nullopt;
      }
      if (sockets[1].revents != 0) {
        send_back();
      }
      payload got{};
      if (sockets[0].revents != 0 &&
          ::recv(here_.get(), got.data(), sizeof got, MSG_DONTWAIT) == sizeof got &&
          got[0] == number) { // another number is late
        return clock::now() - began;
      }
    }
  }

private:
  using payload = std::array<std::uint64_t, 8>;

  void send_back() {
    payload got{};
    sockaddr_in from{};
    auto* const general = reinterpret_cast<sockaddr*>(&from);
    socklen_t size = sizeof from;
    if (::recvfrom(there_.get(), got.data(), sizeof got, MSG_DONTWAIT, general, &size) ==
        sizeof got) {
      // One that cannot be sent is a lost one.
      static_cast<void>(::sendto(there_.get(), got.data(), sizeof got, 0, general, size));
    }
  }

  descriptor here_;
  descriptor there_;
};

struct received {
  std::uint64_t bytes{0};
  std::int64_t nanoseconds{0}; ///< from the first byte to the last
};

/// Reads a connection to its end.
received receive_all(const descriptor& listener) {
  const descriptor connection =
      made(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "no connection came");
  std::vector<std::byte> buffer(256 * 1024);
  received all;
  std::optional<clock::time_point> began;
  ssize_t size = 0;
  while ((size = ::recv(connection.get(), buffer.data(), buffer.size(), 0)) > 0) {
    began = began.value_or(clock::now());
    all.bytes += static_cast<std::uint64_t>(size);
    all.nanoseconds = (clock::now() - *began).count();
  }
  return all;
}

void send_for(const descriptor& socket, nanoseconds time) {
  const std::vector<std::byte> buffer(256 * 1024);
  const clock::time_point end = clock::now() + time;
  while (clock::now() < end) {
    if (::send(socket.get(), buffer.data(), buffer.size(), MSG_NOSIGNAL) < 0) {
      fail_with_errno("sending failed");
    }
  }
  ::shutdown(socket.get(), SHUT_WR);
}

void limit_waiting(const descriptor& socket) {
  const timeval limit{tcp_wait.count(), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

} // namespace

int ping(const ping_options& options) {
  echoes all{options.to};
  take_priority();
  std::vector<nanoseconds> trips;
  for (std::size_t i = 0; i < options.count; ++i) {
    if (const auto trip = all.round_trip(i + 1, options.wait)) {
      trips.push_back(*trip);
    }
  }
  if (trips.empty()) {
    fmt::print("0 of {} echoes came back from machine {}\n", options.count, options.to);
    return 1;
  }
  std::sort(trips.begin(), trips.end());
  const auto at = [&](std::size_t percent) {
    return milliseconds(trips[(trips.size() - 1) * percent / 100]);
  };
  fmt::print("{} of {} echoes; round trip: least {:.3f} ms, median {:.3f} ms, p99 {:.3f} ms, most "
             "{:.3f} ms",
             trips.size(), options.count, at(0), at(50), at(99), at(100));
  if (options.beyond > nanoseconds{0}) {
    const double nominal = milliseconds(options.beyond);
    fmt::print("; median = {} ms {:+.3f} ms", nominal, at(50) - nominal);
  }
  fmt::print("\n");
  return 0;
}

int bulk(const bulk_options& options) {
  const descriptor sender = made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket");
  const descriptor network = network_of(options.to);
  enter(network, options.to);
  sockaddr_in address{};
  const descriptor listener = bound_socket(SOCK_STREAM, options.to, address);
  if (::listen(listener.get(), 1) != 0) {
    fail_with_errno("listening failed");
  }
  limit_waiting(sender);
  limit_waiting(listener); // what it accepts, too
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail_with_errno("a pipe failed");
  }
  const descriptor from_receiver{ends[0]};
  descriptor to_sender{ends[1]};
  const pid_t receiver = ::fork();
  if (receiver < 0) {
    fail_with_errno("starting a process failed");
  }
  if (receiver == 0) {
    const received all = receive_all(listener);
    const bool told = ::write(to_sender.get(), &all, sizeof all) == sizeof all;
    ::_exit(told ? 0 : 1);
  }
  to_sender = descriptor{};
  connect_to(sender, address);
  send_for(sender, options.time);
  received all;
  const bool told = ::read(from_receiver.get(), &all, sizeof all) == sizeof all;
  ::waitpid(receiver, nullptr, 0);
  if (!told || all.nanoseconds <= 0) {
    throw std::runtime_error{"the receiver got nothing; the link loses too much"};
  }
  fmt::print("TCP stream: {:.1f} Mbit/s over {:.2f} s\n",
             8e3 * static_cast<double>(all.bytes) / static_cast<double>(all.nanoseconds),
             1e-9 * static_cast<double>(all.nanoseconds));
  return 0;
}

} // namespace ovir::netdelay
