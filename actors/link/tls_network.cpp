#include "actors/link/tls_network.hpp"

#include "actors/link/tls_admission.hpp"
#include "actors/link/tls_link.hpp"
#include "messages/limits/links.hpp"
#include "storage/env/thread_signals.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <list>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

std::string remote_address(const tcp::socket& socket) {
  error_code problem;
  const tcp::endpoint end = socket.remote_endpoint(problem);
  return problem ? "an unknown address"
                 : to_string(host_and_port{end.address().to_string(), end.port()});
}

address_prefix prefix_of(const asio::ip::address& address) {
  return address.is_v4() ? ovir::prefix_of(static_cast<std::uint32_t>(address.to_v4().to_uint()))
                         : ovir::prefix_of(address.to_v6().to_bytes());
}

address_prefix remote_prefix(const tcp::socket& socket) {
  error_code problem;
  const tcp::endpoint end = socket.remote_endpoint(problem);
  return problem ? address_prefix{} : prefix_of(end.address());
}

bool tls_host::is_local() const {
  const auto own = parse_host_and_port(self.address);
  if (!own) {
    return self.address.empty();
  }
  error_code is_name;
  const auto address = asio::ip::make_address(own->host, is_name);
  return is_name ? own->host == "localhost" : is_this_machine(prefix_of(address));
}

bool tls_host::may_shake(const tcp::socket& socket) {
  error_code problem;
  const tcp::endpoint end = socket.remote_endpoint(problem);
  return !problem && handshakes_.spend(prefix_of(end.address()), std::chrono::steady_clock::now());
}

std::optional<digest> pass_of(const tls_engine& engine, const tcp::socket& socket, bool incoming) {
  const auto plain = [](const asio::ip::address& address) {
    return address.is_v6() && address.to_v6().is_v4_mapped()
               ? asio::ip::address{asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6())}
               : address;
  };
  const auto text = [&plain](const tcp::endpoint& end) {
    return to_string(host_and_port{plain(end.address()).to_string(), end.port()});
  };
  error_code problem;
  const tcp::endpoint here = socket.local_endpoint(problem);
  const tcp::endpoint there = problem ? here : socket.remote_endpoint(problem);
  const auto secret = engine.exporter();
  if (problem || plain(here.address()) != plain(there.address()) || !secret) {
    return std::nullopt;
  }
  return hasher{"ovir/link-pass/v1"}
      .update(std::span<const std::byte>{*secret})
      .update_text(text(incoming ? there : here))
      .update_text(text(incoming ? here : there))
      .finish();
}

void set_link_options(tcp::socket& socket) {
  using seconds_idle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using seconds_between = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using probes = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  // A system that refuses one of these still carries the link.
  error_code ignored;
  socket.set_option(tcp::no_delay{true}, ignored);
  socket.set_option(tcp::socket::keep_alive{true}, ignored);
  socket.set_option(seconds_idle{20}, ignored);
  socket.set_option(seconds_between{10}, ignored);
  socket.set_option(probes{4}, ignored);
}

namespace {

/// An io_context with its thread.
class io_thread {
public:
  asio::io_context context{1};

  /// `busy`: as of `tls_options::busy_read`.
  void start(std::chrono::microseconds busy = std::chrono::microseconds{0}) {
    thread_ = std::thread{[this, busy] {
      storage::leave_signals_to_main();
      if (busy.count() == 0) {
        context.run();
        return;
      }
      while (context.run_one() > 0) { // sleeps until there is something
        read_busily(busy);
      }
    }};
  }
  void stop() {
    context.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

private:
  void read_busily(std::chrono::microseconds busy) {
    using clock = std::chrono::steady_clock;
    auto until = clock::now() + busy;
    for (auto now = clock::now(); now < until; now = clock::now()) {
      if (context.poll_one() > 0) {
        until = now + busy;
      }
    }
  }

  asio::executor_work_guard<asio::io_context::executor_type> work_{context.get_executor()};
  std::thread thread_;
};

/// How many descriptors this process may have: raised to what the system allows.
std::uint64_t descriptors_of_process() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) {
    return 0;
  }
  const rlim_t before = files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_max : before;
}

struct listener {
  listener(asio::io_context& context, std::size_t place)
      : number(place), acceptor(context), pause(context) {}
  std::size_t number;
  tcp::acceptor acceptor;
  asio::steady_timer pause; ///< until descriptors may be free again
  tls_admission::channels taken;
};

std::string address_of(const tcp::acceptor& acceptor) {
  error_code ignored;
  const tcp::endpoint end = acceptor.local_endpoint(ignored);
  return to_string(host_and_port{end.address().to_string(), end.port()});
}

class tls_network_threads final : public tls_network, public tls_host {
public:
  tls_network_threads(const secret_key& node_key, tls_identity tls, const tls_options& options,
                      network_handler& calls)
      : tls_host(node_key, std::move(tls), options, calls), busy_read_(options.busy_read),
        slots_(std::make_shared<connection_slots>(connection_slots::sizes_for(
            options.listen.empty() && options.admin_listen.empty() ? 0 // meets no one
                                                                   : descriptors_of_process()))) {}
  ~tls_network_threads() override;

  result<void> listen(const std::string& address, tls_admission::channels taken);
  void start();

  connection_id connect(const std::string& address, channel kind, const node_id& expected) override;
  connection_id connect_over(ready_stream over, channel kind, const node_id& expected) override;
  void accept_over(ready_stream over) override;
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(connection_id connection, error reason) override;
  [[nodiscard]] std::string listen_address() const override;
  [[nodiscard]] std::string admin_address() const override;
  [[nodiscard]] std::optional<digest> pass(connection_id connection) const override;

private:
  void admitted(admitted_connection connection) override;
  void not_admitted(const peer_info& peer, const error& reason) override;
  void close_elsewhere(connection_id connection, error reason) override;
  void forget(connection_id connection) override;

  void accept(listener& at);
  void meet(tcp::socket socket, const listener& at);
  [[nodiscard]] io_thread& thread_of(channel kind) {
    return kind == channel::data                             ? data_
           : kind == channel::bulk || kind == channel::relay ? bulk_
                                                             : control_;
  }
  [[nodiscard]] result<tcp::socket> move_to(asio::io_context& context, tcp::socket socket);
  [[nodiscard]] std::shared_ptr<tls_link> find_link(connection_id connection);
  connection_id next_id() { return connection_id{next_id_.fetch_add(1)}; }

  const std::chrono::microseconds busy_read_;
  std::shared_ptr<connection_slots> slots_;
  io_thread door_;    ///< listens, and meets whoever connects to us
  io_thread control_; ///< control and admin links
  io_thread data_;    ///< data links
  io_thread bulk_;    ///< weights, which delay nothing else
  std::list<listener> listeners_;
  std::atomic<std::uint64_t> next_id_{1};

  mutable std::mutex mutex_;                                                ///< for what follows
  std::unordered_map<std::uint64_t, std::shared_ptr<tls_admission>> begun_; ///< by `connect`
  std::unordered_map<std::uint64_t, std::shared_ptr<tls_link>> links_;
  std::unordered_map<std::uint64_t, digest> passes_; ///< of those among them that have one
  /// Addresses dialled without a key that is expected: the operator named them.
  std::set<std::string> configured_;
};

tls_network_threads::~tls_network_threads() {
  for (io_thread* thread : {&door_, &control_, &data_, &bulk_}) {
    thread->stop();
  }
  const error reason{errc::cancelled, "this node closes its connections"};
  for (const auto& [id, link] : links_) {
    link->abandon(reason);
  }
  for (const auto& [id, admission] : begun_) {
    handler.closed(admission->peer(), reason);
  }
  links_.clear();
  begun_.clear();
}

result<void> tls_network_threads::listen(const std::string& address,
                                         tls_admission::channels taken) {
  OVIR_ASSIGN(const host_and_port parts, parse_host_and_port(address));
  error_code problem;
  tcp::resolver resolver{door_.context};
  const auto found =
      resolver.resolve(parts.host, std::to_string(parts.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, problem);
  if (problem || found.empty()) {
    return fail(errc::io_failed, "cannot find the host of {} to listen on: {}", address,
                problem.message());
  }
  const tcp::endpoint end = found.begin()->endpoint();
  listener& at = listeners_.emplace_back(door_.context, listeners_.size());
  at.taken = taken;
  at.acceptor.open(end.protocol(), problem);
  if (!problem) {
    at.acceptor.set_option(tcp::acceptor::reuse_address{true}, problem);
  }
  if (!problem) {
    at.acceptor.bind(end, problem);
  }
  if (!problem) {
    at.acceptor.listen(asio::socket_base::max_listen_connections, problem);
  }
  if (problem) {
    return fail(errc::io_failed,
                "cannot listen on {}: {}; end the program that listens there, or change the "
                "address in the configuration",
                address, problem.message());
  }
  return {};
}

void tls_network_threads::start() {
  if (self.address.empty()) {
    self.address = listen_address();
  }
  for (listener& at : listeners_) {
    accept(at);
  }
  for (io_thread* thread : {&door_, &control_, &bulk_}) {
    thread->start();
  }
  data_.start(busy_read_);
}

// Incoming

void tls_network_threads::accept(listener& at) {
  at.acceptor.async_accept([this, &at](const error_code& problem, tcp::socket socket) {
    if (problem == asio::error::operation_aborted) {
      return;
    }
    if (problem && problem != asio::error::connection_aborted) {
      // Descriptors or memory have run out: a stranger's connection makes room.
      if (slots_->put_one_out()) {
        accept(at);
        return;
      }
      // Asking again at once would only burn a processor.
      at.pause.expires_after(limits::accept_back_off);
      at.pause.async_wait([this, &at](const error_code& stopped) {
        if (!stopped) {
          accept(at);
        }
      });
      return;
    }
    if (!problem) {
      meet(std::move(socket), at);
    }
    accept(at);
  });
}

void tls_network_threads::meet(tcp::socket socket, const listener& at) {
  error_code problem;
  const tcp::endpoint end = socket.remote_endpoint(problem);
  if (problem) {
    return;
  }
  const auto admission = std::make_shared<tls_admission>(door_.context, *this, next_id(), at.taken);
  const address_prefix from = prefix_of(end.address());
  auto place = slots_->take_incoming(
      {at.number, from, is_this_machine(from) ? std::string{} : end.address().to_string(),
       [weak = std::weak_ptr{admission}] {
         if (const auto one = weak.lock()) {
           one->give_way();
         }
       }});
  admission->accept(std::move(socket), std::move(place));
}

result<tcp::socket> tls_network_threads::move_to(asio::io_context& context, tcp::socket socket) {
  error_code problem;
  const auto protocol = socket.local_endpoint(problem).protocol();
  if (problem) {
    return fail(errc::peer_lost, "the connection is gone: {}", problem.message());
  }
  const auto descriptor = socket.release(problem);
  if (problem) {
    return fail(errc::io_failed, "a socket cannot change its thread: {}", problem.message());
  }
  tcp::socket moved{context};
  moved.assign(protocol, descriptor, problem);
  if (problem) {
    ::close(descriptor);
    return fail(errc::io_failed, "a socket cannot change its thread: {}", problem.message());
  }
  return moved;
}

// Both ways

void tls_network_threads::admitted(admitted_connection connection) {
  asio::io_context& target = thread_of(connection.peer.kind).context;
  if (connection.peer.incoming) {
    auto socket = move_to(target, std::move(connection.socket));
    if (!socket) {
      return;
    }
    connection.socket = std::move(*socket);
  }
  const std::uint64_t id = connection.peer.connection.value;
  const bool incoming = connection.peer.incoming;
  const auto pass = connection.pass;
  auto link = std::make_shared<tls_link>(target, *this, std::move(connection));
  const std::lock_guard lock{mutex_};
  if (begun_.erase(id) == 0 && !incoming) {
    return; // closed meanwhile, and the handler knows
  }
  links_.emplace(id, link);
  if (pass) {
    passes_.emplace(id, *pass);
  }
  // Under the lock: whoever finds the link posts after this.
  asio::post(target, [link] { link->start(); });
}

void tls_network_threads::not_admitted(const peer_info& peer, const error& reason) {
  {
    const std::lock_guard lock{mutex_};
    if (begun_.erase(peer.connection.value) == 0) {
      return;
    }
  }
  handler.closed(peer, reason);
}

void tls_network_threads::forget(connection_id connection) {
  const std::lock_guard lock{mutex_};
  links_.erase(connection.value);
  passes_.erase(connection.value);
}

std::optional<digest> tls_network_threads::pass(connection_id connection) const {
  const std::lock_guard lock{mutex_};
  const auto found = passes_.find(connection.value);
  return found == passes_.end() ? std::nullopt : std::optional{found->second};
}

std::shared_ptr<tls_link> tls_network_threads::find_link(connection_id connection) {
  const std::lock_guard lock{mutex_};
  const auto at = links_.find(connection.value);
  return at == links_.end() ? nullptr : at->second;
}

connection_id tls_network_threads::connect(const std::string& address, channel kind,
                                           const node_id& expected) {
  const connection_id id = next_id();
  auto place = slots_->take_outgoing();
  const error full = place ? error{} : place.error();
  asio::io_context& target = thread_of(kind).context;
  const bool fits = full.message.empty();
  const std::lock_guard lock{mutex_};
  if (expected.empty() && configured_.size() < limits::told_addresses_max) {
    configured_.insert(address);
  }
  auto admission = std::make_shared<tls_admission>(
      target, *this, id, place ? std::move(*place) : connection_slots::slot{},
      tls_admission::target{address, kind, expected, !configured_.contains(address)});
  begun_.emplace(id.value, admission);
  asio::post(target, [admission, fits, full] {
    if (fits) {
      admission->connect();
    } else {
      admission->cancel(full);
    }
  });
  return id;
}

connection_id tls_network_threads::connect_over(ready_stream over, channel kind,
                                                const node_id& expected) {
  const connection_id id = next_id();
  auto place = slots_->take_outgoing();
  const error full = place ? error{} : place.error();
  asio::io_context& target = thread_of(kind).context;
  const std::lock_guard lock{mutex_};
  auto admission = std::make_shared<tls_admission>(
      target, *this, id, place ? std::move(*place) : connection_slots::slot{},
      tls_admission::target{over.where, kind, expected, false});
  begun_.emplace(id.value, admission);
  asio::post(target, [admission, full, over = std::move(over)] {
    if (!full.message.empty()) {
      admission->cancel(full);
    }
    admission->connect_over(over);
  });
  return id;
}

void tls_network_threads::accept_over(ready_stream over) {
  asio::post(door_.context, [this, over = std::move(over)] {
    const tls_admission::channels members_alone{true, false};
    const auto admission =
        std::make_shared<tls_admission>(door_.context, *this, next_id(), members_alone);
    // Places of their own: strangers at the listener put none of them out.
    auto place =
        slots_->take_incoming({listeners_.size(), over.from, {}, [weak = std::weak_ptr{admission}] {
                                 if (const auto one = weak.lock()) {
                                   one->give_way();
                                 }
                               }});
    admission->accept_over(over, std::move(place));
  });
}

result<void> tls_network_threads::send(connection_id connection, message_kind kind,
                                       std::uint32_t target,
                                       std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto link = find_link(connection);
  if (!link) {
    return fail(errc::peer_lost, "connection {} is gone", connection.value);
  }
  return link->send(kind, target, std::move(bytes));
}

void tls_network_threads::close(connection_id connection, error reason) {
  std::shared_ptr<tls_admission> admission;
  {
    const std::lock_guard lock{mutex_};
    if (const auto at = begun_.find(connection.value); at != begun_.end()) {
      admission = at->second;
    }
  }
  if (!admission) {
    close_elsewhere(connection, std::move(reason));
    return;
  }
  asio::post(thread_of(admission->wanted()).context,
             [admission, reason = std::move(reason)] { admission->cancel(reason); });
}

void tls_network_threads::close_elsewhere(connection_id connection, error reason) {
  if (const auto link = find_link(connection)) {
    link->close(std::move(reason));
  }
}

std::string tls_network_threads::listen_address() const {
  for (const listener& at : listeners_) {
    if (at.taken.members) {
      return address_of(at.acceptor);
    }
  }
  return {};
}

std::string tls_network_threads::admin_address() const {
  for (const listener& at : listeners_) {
    if (at.taken.admin) {
      return address_of(at.acceptor);
    }
  }
  return {};
}

} // namespace

result<std::unique_ptr<tls_network>>
tls_network::start(const secret_key& key, const tls_options& options, network_handler& handler) {
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
  OVIR_ASSIGN(tls_identity identity, tls_identity::make(key));
  try {
    auto network =
        std::make_unique<tls_network_threads>(key, std::move(identity), options, handler);
    if (!options.listen.empty()) {
      OVIR_TRY(network->listen(options.listen, {true, options.admin_listen.empty()}));
    }
    if (!options.admin_listen.empty()) {
      OVIR_TRY(network->listen(options.admin_listen, {false, true}));
    }
    network->start();
    return std::unique_ptr<tls_network>{std::move(network)};
  } catch (const std::system_error& problem) {
    return fail(errc::io_failed, "the network cannot start: {}", problem.what());
  } catch (const boost::system::system_error& problem) {
    return fail(errc::io_failed, "the network cannot start: {}", problem.what());
  }
}

result<std::unique_ptr<listening_network>>
start_tls(const secret_key& key, const tls_options& options, network_handler& handler) {
  OVIR_ASSIGN(auto started, tls_network::start(key, options, handler));
  return std::unique_ptr<listening_network>{std::move(started)};
}

} // namespace ovir::actors
