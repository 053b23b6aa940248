#include "tests/support/cluster/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

namespace ovir::test {

namespace {

using clock = std::chrono::steady_clock;

/// Bytes of one direction that wait for their time or for a slow reader; more are not read.
constexpr std::size_t queued_bytes_max = 4U << 20U;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int make_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    throw std::runtime_error("cannot make a socket");
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

std::uint16_t port_of(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
}

void reset(int fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(fd);
}

/// What travels in one direction.
struct flow {
  struct piece {
    clock::time_point due;
    std::vector<char> bytes;
    std::size_t sent{0};
  };
  int in{-1};
  int out{-1};
  std::deque<piece> queue;
  std::size_t queued{0};
  bool ended{false};    ///< the sender has closed
  bool end_told{false}; ///< and the receiver knows

  [[nodiscard]] bool reads() const { return !ended && queued < queued_bytes_max; }
  [[nodiscard]] bool writes(clock::time_point now) const {
    return queue.empty() ? ended && !end_told : queue.front().due <= now;
  }

  /// False when the connection is broken.
  [[nodiscard]] bool read(clock::time_point due) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(in, buffer.data(), buffer.size(), 0);
    if (got > 0) {
      queue.push_back({due, {buffer.data(), buffer.data() + got}});
      queued += static_cast<std::size_t>(got);
    } else if (got == 0) {
      ended = true;
    }
    return got >= 0 || errno == EAGAIN || errno == EINTR;
  }

  [[nodiscard]] bool write(clock::time_point now) {
    while (!queue.empty() && queue.front().due <= now) {
      piece& first = queue.front();
      const ssize_t sent = ::send(out, first.bytes.data() + first.sent,
                                  first.bytes.size() - first.sent, MSG_NOSIGNAL);
      if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
      }
      first.sent += static_cast<std::size_t>(sent);
      queued -= static_cast<std::size_t>(sent);
      if (first.sent < first.bytes.size()) {
        return true;
      }
      queue.pop_front();
    }
    if (ended && queue.empty() && !end_told) {
      ::shutdown(out, SHUT_WR);
      end_told = true;
    }
    return true;
  }
};

struct route {
  int listener{-1};
  std::uint16_t port{0};
  std::uint16_t target{0};
};

struct connection {
  std::uint16_t port{0};             ///< it comes from
  std::optional<std::size_t> from{}; ///< once it was asked for
  std::size_t to{0};
  flow there; ///< from the one who connected
  flow back;
  bool doomed{false};
};

} // namespace

struct tcp_proxy::parts {
  finder who;
  mutable std::mutex guard;
  std::vector<route> routes;
  std::list<connection> connections;
  pair_rule held;
  std::chrono::milliseconds late{0};
  bool over{false};
  int wake{-1};
  std::thread thread;

  void wake_up() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t sent = ::write(wake, &one, sizeof one);
  }

  [[nodiscard]] bool is_held(const connection& c) const {
    return held && held(c.from.value_or(stranger), c.to);
  }
  /// Finds out where the connections come from of which that is not known.
  void find_origins();

  void accept_from(std::size_t index);
  void drop_doomed();
  /// Until something is due. To the nanosecond, as poll's milliseconds would come on top.
  [[nodiscard]] std::optional<timespec> wait_time(clock::time_point now) const;
  void fill(std::vector<pollfd>& polled, std::vector<connection*>& owners, clock::time_point now);
  void serve(connection& c, short dialler, short target, clock::time_point now) const;
  void run();
};

void tcp_proxy::parts::accept_from(std::size_t index) {
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  const int fd = ::accept4(routes[index].listener, reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    return;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int out = make_socket();
  const sockaddr_in target = loopback(routes[index].target);
  // A non-blocking connection to a port of this machine is there, refused or under way at once;
  // what is written before it is there waits for POLLOUT.
  const int said = ::connect(out, reinterpret_cast<const sockaddr*>(&target), sizeof target);
  if (said != 0 && errno != EINPROGRESS) {
    reset(fd);
    ::close(out);
    return;
  }
  connection& made = connections.emplace_back();
  made.port = ntohs(peer.sin_port);
  made.to = index;
  made.there.in = made.back.out = fd;
  made.there.out = made.back.in = out;
}

void tcp_proxy::parts::find_origins() {
  std::vector<connection*> asked;
  std::vector<std::uint16_t> ports;
  for (connection& c : connections) {
    if (!c.from && !c.doomed) {
      asked.push_back(&c);
      ports.push_back(c.port);
    }
  }
  if (asked.empty() || !who) {
    return;
  }
  const std::vector<std::size_t> owners = who(ports);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    asked[i]->from = owners.at(i);
  }
}

void tcp_proxy::parts::drop_doomed() {
  for (auto at = connections.begin(); at != connections.end();) {
    const bool over_both = at->there.end_told && at->back.end_told;
    if (!at->doomed && !over_both) {
      ++at;
      continue;
    }
    for (const int fd : {at->there.in, at->there.out}) {
      at->doomed ? reset(fd) : static_cast<void>(::close(fd));
    }
    at = connections.erase(at);
  }
}

std::optional<timespec> tcp_proxy::parts::wait_time(clock::time_point now) const {
  std::optional<clock::time_point> first;
  for (const connection& c : connections) {
    for (const flow* f : {&c.there, &c.back}) {
      if (!f->queue.empty() && f->queue.front().due > now && !is_held(c)) {
        first = std::min(first.value_or(f->queue.front().due), f->queue.front().due);
      }
    }
  }
  if (!first) {
    return std::nullopt;
  }
  const std::chrono::nanoseconds left = *first - now;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  return timespec{seconds.count(), (left - seconds).count()};
}

// The wake-up, the listeners, then two entries for each connection that is not held.
void tcp_proxy::parts::fill(std::vector<pollfd>& polled, std::vector<connection*>& owners,
                            clock::time_point now) {
  polled.assign(1, {wake, POLLIN, 0});
  owners.clear();
  for (const route& r : routes) {
    polled.push_back({r.listener, POLLIN, 0});
  }
  for (connection& c : connections) {
    if (is_held(c)) {
      continue;
    }
    const auto events = [now](const flow& in, const flow& out) {
      return static_cast<short>((in.reads() ? POLLIN : 0) | (out.writes(now) ? POLLOUT : 0));
    };
    polled.push_back({c.there.in, events(c.there, c.back), 0});
    polled.push_back({c.there.out, events(c.back, c.there), 0});
    owners.push_back(&c);
  }
}

void tcp_proxy::parts::serve(connection& c, short dialler, short target,
                             clock::time_point now) const {
  const auto pass = [&](flow& f, short in, short out) {
    if ((in & (POLLIN | POLLHUP | POLLERR)) != 0 && f.reads() && !f.read(now + late)) {
      c.doomed = true;
    }
    if (((out & (POLLOUT | POLLERR)) != 0 || f.writes(now)) && !f.write(now)) {
      c.doomed = true;
    }
  };
  pass(c.there, dialler, target);
  pass(c.back, target, dialler);
  const bool gone = ((dialler | target) & (POLLERR | POLLNVAL)) != 0;
  c.doomed = c.doomed || gone;
}

void tcp_proxy::parts::run() {
  ::prctl(PR_SET_TIMERSLACK, 1); // else the kernel adds 50 us to each delay
  std::vector<pollfd> polled;
  std::vector<connection*> owners;
  std::unique_lock lock{guard};
  while (!over) {
    const std::size_t listening = routes.size();
    fill(polled, owners, clock::now());
    const std::optional<timespec> wait = wait_time(clock::now());
    lock.unlock();
    ::ppoll(polled.data(), polled.size(), wait ? &*wait : nullptr, nullptr);
    lock.lock();
    if ((polled[0].revents & POLLIN) != 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(wake, &count, sizeof count);
    }
    const clock::time_point now = clock::now();
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const std::size_t at = 1 + listening + 2 * i;
      if (!owners[i]->doomed && !is_held(*owners[i])) {
        serve(*owners[i], polled[at].revents, polled[at + 1].revents, now);
      }
    }
    for (std::size_t i = 0; i < listening; ++i) {
      if ((polled[1 + i].revents & POLLIN) != 0) {
        accept_from(i);
      }
    }
    if (held) {
      find_origins();
    }
    drop_doomed();
  }
}

tcp_proxy::tcp_proxy(finder who) : parts_(std::make_unique<parts>()) {
  parts_->who = std::move(who);
  parts_->wake = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (parts_->wake < 0) {
    throw std::runtime_error("cannot make an event descriptor");
  }
  parts_->thread = std::thread{[p = parts_.get()] { p->run(); }};
}

tcp_proxy::~tcp_proxy() {
  {
    const std::lock_guard lock{parts_->guard};
    parts_->over = true;
  }
  parts_->wake_up();
  parts_->thread.join();
  for (connection& c : parts_->connections) {
    c.doomed = true;
  }
  parts_->drop_doomed();
  for (const route& r : parts_->routes) {
    ::close(r.listener);
  }
  ::close(parts_->wake);
}

std::size_t tcp_proxy::add_route(const std::string& target) {
  route made;
  made.target = port_of(target);
  made.listener = make_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(made.listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(made.listener, SOMAXCONN) != 0 ||
      ::getsockname(made.listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    ::close(made.listener);
    throw std::runtime_error("cannot listen on a port of 127.0.0.1");
  }
  made.port = ntohs(address.sin_port);
  std::size_t index = 0;
  {
    const std::lock_guard lock{parts_->guard};
    index = parts_->routes.size();
    parts_->routes.push_back(made);
  }
  parts_->wake_up();
  return index;
}

std::string tcp_proxy::address(std::size_t route) const {
  const std::lock_guard lock{parts_->guard};
  return "127.0.0.1:" + std::to_string(parts_->routes.at(route).port);
}

void tcp_proxy::hold(pair_rule rule) {
  {
    const std::lock_guard lock{parts_->guard};
    parts_->held = std::move(rule);
    if (parts_->held) {
      parts_->find_origins();
    }
  }
  parts_->wake_up();
}

void tcp_proxy::delay(std::chrono::milliseconds by) {
  const std::lock_guard lock{parts_->guard};
  parts_->late = by;
}

std::size_t tcp_proxy::cut(const pair_rule& rule) {
  std::size_t count = 0;
  {
    const std::lock_guard lock{parts_->guard};
    parts_->find_origins();
    for (connection& c : parts_->connections) {
      const bool meant = !c.doomed && rule(c.from.value_or(stranger), c.to);
      c.doomed = c.doomed || meant;
      count += meant ? 1U : 0U;
    }
  }
  parts_->wake_up();
  return count;
}

std::size_t tcp_proxy::connections() const {
  const std::lock_guard lock{parts_->guard};
  return parts_->connections.size();
}

} // namespace ovir::test
