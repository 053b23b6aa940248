#include "actors/quic/quic_network.hpp"

#include "actors/quic/quic_endpoint.hpp"
#include "actors/quic/quic_socket.hpp"
#include "actors/runtime/allowance.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/links.hpp"
#include "messages/limits/nat.hpp"
#include "messages/limits/quic.hpp"
#include "storage/env/thread_signals.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/random.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using boost::system::error_code;
using udp = asio::ip::udp;

namespace {

quic_time time_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

void draw_from_system(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t drawn = ::getrandom(out.data(), out.size(), 0);
    OVIR_CHECK(drawn > 0 || errno == EINTR, errno);
    out = out.subspan(drawn > 0 ? static_cast<std::size_t>(drawn) : 0);
  }
}

udp_address address_of_end(const udp::endpoint& end) {
  sockaddr_storage storage{};
  std::memcpy(&storage, end.data(), std::min(end.size(), sizeof storage));
  return from_system(storage).value_or(udp_address{});
}

/// How many descriptors this process may have; 0: not known.
std::uint64_t descriptors_allowed() {
  rlimit files{};
  return ::getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

class quic_network_thread final : public quic_network {
public:
  quic_network_thread(const secret_key& key, quic_identity identity, const quic_options& options,
                      network_handler& handler)
      : handler_(handler), identity_(std::move(identity)), traffic_(options.traffic),
        options_(options), key_(key) {}
  ~quic_network_thread() override;

  result<void> listen(const std::string& address);
  void begin();

  connection_id connect(const std::string& address, channel kind, const node_id& expected) override;
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(connection_id connection, error reason) override;
  [[nodiscard]] std::string listen_address() const override { return listen_address_; }
  [[nodiscard]] std::string admin_address() const override { return {}; }
  void send_datagram(const std::string& to, std::vector<std::byte> datagram) override;

private:
  using task = std::function<void()>;

  void post(task what);
  void run_tasks();
  void find_and_connect(const peer_info& what, bool told);
  void connect_to(const peer_info& what, bool told, const std::vector<udp_address>& ends);
  [[nodiscard]] bool is_local() const;
  /// Whether it was no QUIC, and is done with.
  [[nodiscard]] bool take_other(const udp_address& from, std::span<const std::byte> bytes);
  [[nodiscard]] udp::socket* socket_for(bool six);
  void await_datagrams(udp::socket& socket);
  void read_all(udp::socket& socket);
  void turn();
  void flush();
  [[nodiscard]] bool send_out();
  void watch(quic_time now);
  void measure(quic_time now);
  connection_id next_id() { return connection_id{id_bit | next_id_.fetch_add(1)}; }

  network_handler& handler_;
  const quic_identity identity_;
  std::shared_ptr<network_traffic> traffic_;
  const quic_options options_;
  const secret_key& key_;
  quic_lanes lanes_;
  std::atomic<std::uint64_t> next_id_{1};
  std::string listen_address_;
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::array<std::unique_ptr<udp::socket>, 2> sockets_; ///< IPv4, IPv6
  asio::steady_timer timer_{context_};
  udp::resolver resolver_{context_};
  std::unique_ptr<quic_endpoint> endpoint_;
  udp_arrivals arrivals_;
  udp_batch batch_;
  allowance others_{limits::punch_heard_burst, limits::punch_heard_refill,
                    std::chrono::milliseconds{1'000}};
  bool whole_batches_{true}; ///< the system cuts them
  bool blocked_{false};      ///< a socket takes nothing now
  struct {
    quic_time watched{0}; ///< when the timer fires; 0: never
    quic_time measured{0};
  } times_;
  std::unordered_map<std::uint64_t, peer_info> resolving_;
  std::mutex mutex_; ///< for what follows
  std::vector<task> tasks_;
  /// Addresses dialled without a key that is expected: the operator named them.
  std::set<std::string> configured_;
  std::thread thread_;
};

quic_network_thread::~quic_network_thread() {
  if (thread_.joinable()) {
    asio::post(context_, [this] {
      run_tasks();
      const error reason{errc::cancelled, "this node closes its connections"};
      for (const auto& [id, peer] : std::exchange(resolving_, {})) {
        handler_.closed(peer, reason);
      }
      endpoint_->shut_down(reason, time_now());
      flush();
      context_.stop();
    });
    thread_.join();
  }
}

result<void> quic_network_thread::listen(const std::string& address) {
  OVIR_ASSIGN(const host_and_port parts, parse_host_and_port(address));
  error_code problem;
  const auto found =
      resolver_.resolve(parts.host, std::to_string(parts.port),
                        udp::resolver::passive | udp::resolver::numeric_service, problem);
  if (problem || found.empty()) {
    return fail(errc::io_failed, "cannot find the host of {} to listen on: {}", address,
                problem.message());
  }
  const udp::endpoint end = found.begin()->endpoint();
  auto socket = std::make_unique<udp::socket>(context_);
  socket->open(end.protocol(), problem);
  if (!problem) {
    socket->bind(end, problem);
  }
  if (problem) {
    return fail(errc::io_failed,
                "cannot listen on {} over UDP: {}; end the program that listens there, change the "
                "address in the configuration, or set link.transport to \"tcp\"",
                address, problem.message());
  }
  const bool six = end.protocol() == udp::v6();
  set_socket_options(socket->native_handle(), six);
  listen_address_ = to_string(address_of_end(socket->local_endpoint(problem)));
  sockets_[six ? 1 : 0] = std::move(socket);
  return {};
}

void quic_network_thread::begin() {
  quic_link_parts parts{
      key_,
      handler_,
      lanes_,
      options_.identity,
      options_.deadlines,
      [this](connection_id id) { post([this, id] { endpoint_->resume(id, time_now()); }); },
      options_.unanswered};
  if (parts.self.address.empty()) {
    parts.self.address = listen_address_;
  }
  endpoint_ = std::make_unique<quic_endpoint>(
      identity_, std::move(parts), draw_from_system, [this] { return next_id(); },
      connection_slots::sizes_for(listen_address_.empty() ? 0 : descriptors_allowed()));
  for (const auto& socket : sockets_) {
    if (socket) {
      await_datagrams(*socket);
    }
  }
  thread_ = std::thread{[this] {
    storage::leave_signals_to_main();
    context_.run();
  }};
}

bool quic_network_thread::is_local() const {
  const std::string& own =
      options_.identity.address.empty() ? listen_address_ : options_.identity.address;
  const auto parts = parse_host_and_port(own);
  if (!parts) {
    return own.empty();
  }
  error_code is_name;
  const auto address = asio::ip::make_address(parts->host, is_name);
  return is_name ? parts->host == "localhost"
                 : is_this_machine(prefix_of(address_of_end(udp::endpoint{address, 0})));
}

udp::socket* quic_network_thread::socket_for(bool six) {
  auto& socket = sockets_[six ? 1 : 0];
  if (!socket) {
    error_code problem;
    auto made = std::make_unique<udp::socket>(context_);
    const udp protocol = six ? udp::v6() : udp::v4();
    made->open(protocol, problem);
    if (!problem) {
      made->bind(udp::endpoint{protocol, 0}, problem);
    }
    if (problem) {
      return nullptr;
    }
    set_socket_options(made->native_handle(), six);
    socket = std::move(made);
    await_datagrams(*socket);
  }
  return socket.get();
}

// Other threads

void quic_network_thread::post(task what) {
  bool first = false;
  {
    const std::lock_guard lock{mutex_};
    first = tasks_.empty();
    tasks_.push_back(std::move(what));
  }
  if (first) {
    asio::post(context_, [this] {
      run_tasks();
      turn();
    });
  }
}

void quic_network_thread::run_tasks() {
  std::vector<task> tasks;
  {
    const std::lock_guard lock{mutex_};
    tasks.swap(tasks_);
  }
  for (const task& what : tasks) {
    what();
  }
}

connection_id quic_network_thread::connect(const std::string& address, channel kind,
                                           const node_id& expected) {
  peer_info what;
  what.connection = next_id();
  what.node = expected;
  what.kind = kind;
  what.address = address;
  bool told = false;
  {
    const std::lock_guard lock{mutex_};
    if (expected.empty() && configured_.size() < limits::told_addresses_max) {
      configured_.insert(address);
    }
    told = !configured_.contains(address);
  }
  post([this, what, told] { find_and_connect(what, told); });
  return what.connection;
}

result<void> quic_network_thread::send(connection_id connection, message_kind kind,
                                       std::uint32_t target,
                                       std::shared_ptr<const std::vector<std::byte>> bytes) {
  if (const auto counted = lanes_.reserve(connection, kind, bytes->size()); !counted) {
    if (counted.error().code == errc::busy) {
      post([this, connection, reason = counted.error()] {
        endpoint_->lose(connection, reason, time_now());
      });
    }
    return counted;
  }
  post([this, connection, kind, target, bytes = std::move(bytes)] {
    endpoint_->send(connection, kind, target, bytes, time_now());
  });
  return {};
}

void quic_network_thread::close(connection_id connection, error reason) {
  post([this, connection, reason = std::move(reason)] {
    if (const auto at = resolving_.find(connection.value); at != resolving_.end()) {
      const peer_info peer = at->second;
      resolving_.erase(at);
      handler_.closed(peer, reason);
      return;
    }
    endpoint_->close(connection, reason, time_now());
  });
}

// The network's thread

void quic_network_thread::find_and_connect(const peer_info& what, bool told) {
  const auto parts = parse_host_and_port(what.address);
  if (!parts) {
    handler_.closed(what, parts.error());
    return;
  }
  error_code is_name;
  const auto numeric = asio::ip::make_address(parts->host, is_name);
  if (!is_name) {
    connect_to(what, told, {address_of_end(udp::endpoint{numeric, parts->port})});
    return;
  }
  resolving_.emplace(what.connection.value, what);
  resolver_.async_resolve(
      parts->host, std::to_string(parts->port), udp::resolver::numeric_service,
      [this, what, told](const error_code& problem, const udp::resolver::results_type& found) {
        if (resolving_.erase(what.connection.value) == 0) {
          return; // closed meanwhile
        }
        if (problem) {
          handler_.closed(what, fail(errc::not_found, "cannot find the host of {}: {}",
                                     what.address, problem.message()));
          return;
        }
        std::vector<udp_address> ends;
        for (const auto& one : found) {
          ends.push_back(address_of_end(one.endpoint()));
        }
        connect_to(what, told, ends);
        turn();
      });
}

void quic_network_thread::connect_to(const peer_info& what, bool told,
                                     const std::vector<udp_address>& ends) {
  const bool checked = told && !is_local();
  for (const udp_address& end : ends) {
    if (checked && is_this_machine(prefix_of(end))) {
      continue;
    }
    if (socket_for(end.six) != nullptr) {
      endpoint_->connect(what, end, time_now()); // the first that this machine can reach
      return;
    }
  }
  handler_.closed(
      what, checked && !ends.empty()
                ? fail(errc::invalid_argument,
                       "{} is an address of this very machine, but a peer told it; set 'advertise' "
                       "of the node that is meant to an address that others reach",
                       what.address)
                : fail(errc::peer_lost, "cannot connect to {}: this machine has no way there",
                       what.address));
}

void quic_network_thread::await_datagrams(udp::socket& socket) {
  socket.async_wait(udp::socket::wait_read, [this, &socket](const error_code& problem) {
    if (problem) {
      return;
    }
    for (const udp_address& there : read_refusals(socket.native_handle())) {
      endpoint_->unreachable(there, time_now());
    }
    read_all(socket);
    turn();
    await_datagrams(socket);
  });
}

void quic_network_thread::read_all(udp::socket& socket) {
  // A bounded number, so that what is to be sent has its turn.
  for (std::size_t i = 0; i < limits::quic_burst_datagrams; ++i) {
    const quic_time now = time_now(); // behind what was sent meanwhile: it may be acknowledged here
    const std::size_t count = arrivals_.read(socket.native_handle());
    std::uint64_t bytes = 0;
    for (std::size_t at = 0; at < count; ++at) {
      bytes += arrivals_.bytes(at).size();
      if (const auto from = arrivals_.from(at); from && !take_other(*from, arrivals_.bytes(at))) {
        endpoint_->receive(*from, arrivals_.bytes(at), now);
      }
    }
    traffic_->received.fetch_add(bytes, std::memory_order_relaxed);
    traffic_->quic_received.fetch_add(bytes, std::memory_order_relaxed);
    if (count < limits::quic_batch_datagrams) {
      return;
    }
    flush(); // acknowledgements are due
  }
}

void quic_network_thread::send_datagram(const std::string& to, std::vector<std::byte> datagram) {
  post([this, to, datagram = std::move(datagram)] {
    const auto parts = parse_host_and_port(to);
    error_code is_name;
    const auto host = asio::ip::make_address(parts ? parts->host : std::string{}, is_name);
    udp::socket* const socket = is_name ? nullptr : socket_for(host.is_v6());
    if (socket == nullptr) {
      return;
    }
    sockaddr_storage address{};
    const socklen_t length = to_system(address_of_end(udp::endpoint{host, parts->port}), address);
    (void)::sendto(socket->native_handle(), datagram.data(), datagram.size(),
                   MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                   length);
  });
}

bool quic_network_thread::take_other(const udp_address& from, std::span<const std::byte> bytes) {
  // A packet has a byte, a name and 20 bytes at least (RFC 9001, 5.4.2), so none of ours is as
  // short; a reset may be, and has one of these bits. Packets need not: peers may clear it (RFC
  // 9287).
  constexpr unsigned quic_bits = 0xc0;
  if (bytes.size() != limits::punch_datagram_bytes ||
      (std::to_integer<unsigned>(bytes.front()) & quic_bits) != 0) {
    return false;
  }
  if (options_.other && others_.has(1, std::chrono::steady_clock::now())) {
    (void)others_.spend(1, std::chrono::steady_clock::now());
    options_.other(to_string(from), {bytes.begin(), bytes.end()});
  }
  return true;
}

void quic_network_thread::turn() {
  const quic_time now = time_now();
  if (const auto due = endpoint_->deadline(); due && *due <= now) {
    endpoint_->on_time(now);
  }
  flush();
  measure(now);
  watch(now);
}

void quic_network_thread::flush() {
  if (blocked_ || (batch_.count > 0 && !send_out())) {
    return;
  }
  while (true) {
    const auto next = endpoint_->write(batch_.space(), time_now());
    if (!next) {
      break;
    }
    const bool fits = batch_.count == 0 || (next->to == batch_.to && next->bytes <= batch_.size);
    if (!fits) {
      // It stands behind the others in the buffer: those go first, then it moves to the front.
      const std::size_t at = batch_.filled;
      const bool sent = send_out();
      std::memmove(batch_.bytes.data(), batch_.bytes.data() + at, next->bytes);
      batch_.filled = 0;
      batch_.count = 0;
      if (!sent) {
        blocked_ = true; // the batch before is lost, as on a full line; this one waits
      }
    }
    if (batch_.count == 0) {
      batch_.to = next->to;
      batch_.size = next->bytes;
    }
    const bool last = next->bytes < batch_.size;
    batch_.filled += next->bytes;
    ++batch_.count;
    const bool full = batch_.space().size() < limits::quic_datagram_bytes_max;
    if (blocked_ || ((last || full) && !send_out())) {
      break;
    }
  }
  if (!blocked_ && batch_.count > 0) {
    (void)send_out();
  }
}

/// Sends the batch. False: the socket takes nothing now, and is waited for.
bool quic_network_thread::send_out() {
  udp::socket* const socket = sockets_[batch_.to.six ? 1 : 0].get();
  const bool cut = batch_.count > 1;
  std::size_t sent = 0;
  while (socket != nullptr && sent < batch_.filled) {
    const bool whole = cut && whole_batches_;
    const std::size_t bytes =
        whole ? batch_.filled - sent : std::min(batch_.size, batch_.filled - sent);
    const ssize_t done = send_batch(socket->native_handle(), batch_, sent, bytes, whole);
    if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) && sent == 0) {
      blocked_ = true;
      socket->async_wait(udp::socket::wait_write, [this](const error_code& problem) {
        blocked_ = false;
        if (!problem) {
          turn();
        }
      });
      return false;
    }
    if (done < 0 && whole && (errno == EIO || errno == EINVAL)) {
      whole_batches_ = false; // this system or device does not cut
      continue;
    }
    sent += bytes; // what was refused otherwise is lost, as on the way
  }
  traffic_->sent.fetch_add(batch_.filled, std::memory_order_relaxed);
  traffic_->quic_sent.fetch_add(batch_.filled, std::memory_order_relaxed);
  traffic_->quic_datagrams.fetch_add(batch_.count, std::memory_order_relaxed);
  batch_.filled = 0;
  batch_.count = 0;
  return true;
}

/// The timer is left alone while it will fire early enough by itself; then it looks again.
void quic_network_thread::watch(quic_time now) {
  if (blocked_) {
    return; // nothing could be sent; the socket's turn looks again
  }
  const auto due = endpoint_->deadline();
  if (!due || (times_.watched > now && times_.watched <= *due)) {
    return;
  }
  times_.watched = std::max(*due, now);
  timer_.expires_at(std::chrono::steady_clock::time_point{
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(times_.watched)});
  timer_.async_wait([this](const error_code& stopped) {
    if (!stopped) {
      times_.watched = quic_time{0};
      turn();
    }
  });
}

void quic_network_thread::measure(quic_time now) {
  if (now - times_.measured < limits::quic_measure_interval &&
      traffic_->quic_sessions.load(std::memory_order_relaxed) == endpoint_->size()) {
    return;
  }
  times_.measured = now;
  const quic_endpoint::figures figures = endpoint_->measured();
  traffic_->quic_sessions.store(figures.sessions, std::memory_order_relaxed);
  traffic_->quic_lost.store(figures.lost, std::memory_order_relaxed);
  traffic_->quic_rtt_us.store(
      static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(figures.rtt).count()),
      std::memory_order_relaxed);
}

} // namespace

result<std::unique_ptr<quic_network>>
quic_network::start(const secret_key& key, const quic_options& options, network_handler& handler) {
  link_hello hello;
  hello.roles = options.identity.roles;
  hello.life = options.identity.life;
  hello.cluster = options.identity.cluster;
  hello.address = options.identity.address;
  hello.token = options.identity.token;
  if (!hello.token.empty()) {
    hello.binding.emplace();
  }
  if (const auto fits = check(hello); !fits) {
    return in_context("this node's own hello", fits.error());
  }
  OVIR_ASSIGN(quic_identity identity, quic_identity::make(key));
  try {
    auto network =
        std::make_unique<quic_network_thread>(key, std::move(identity), options, handler);
    if (!options.listen.empty()) {
      OVIR_TRY(network->listen(options.listen));
    }
    network->begin();
    return std::unique_ptr<quic_network>{std::move(network)};
  } catch (const std::system_error& problem) {
    return fail(errc::io_failed, "QUIC cannot start: {}", problem.what());
  } catch (const boost::system::system_error& problem) {
    return fail(errc::io_failed, "QUIC cannot start: {}", problem.what());
  }
}

} // namespace ovir::actors
