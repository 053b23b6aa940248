#include "gateway/http/http_server.hpp"

#include "gateway/http/http_connection.hpp"
#include "messages/address_prefix.hpp"
#include "messages/limits/http_clients.hpp"
#include "messages/limits/links.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <map>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

namespace ovir::gateway {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds accept_pause{50}; // when descriptors have run out

/// As many descriptors as the system allows, since each connection needs one: how many connections
/// of `wanted` there may be, so that enough are left for the rest of the process.
std::size_t raise_descriptors(std::size_t wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) {
    return wanted;
  }
  const rlim_t before = files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  const rlim_t all = ::setrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_max : before;
  const rlim_t reserved = std::min<rlim_t>(limits::descriptors_reserved, all / 4 * 3);
  return std::min<std::size_t>(wanted, std::max<std::size_t>(all - reserved, 1));
}

address_prefix prefix_of(const asio::ip::address& address) {
  return address.is_v4() ? ovir::prefix_of(static_cast<std::uint32_t>(address.to_v4().to_uint()))
                         : ovir::prefix_of(address.to_v6().to_bytes());
}

class server final : public http_server {
public:
  server(const http_options& options, http_handler& handler)
      : options_(options), shared_{options_, handler} {}

  ~server() override {
    stopping_.store(true);
    long_context_.stop();
    context_.stop();
    for (std::thread* const thread : {&long_thread_, &thread_}) {
      if (thread->joinable()) {
        thread->join();
      }
    }
    for (const place& one : open_) {
      one.connection->close();
    }
    for (const auto& connection : turned_away_) {
      connection->close();
    }
  }

  result<void> listen();

  std::string listen_address() const override { return address_; }
  void post(std::function<void()> act) override { asio::post(context_, std::move(act)); }
  void post_long(std::function<void()> act) override { asio::post(long_context_, std::move(act)); }
  std::size_t connections() const override { return count_.load(); }

  void drain() override {
    post([this] {
      shared_.draining = true;
      error_code ignored;
      acceptor_.close(ignored);
      also_acceptor_.close(ignored);
      for (const place& one : open_) {
        one.connection->drain();
      }
    });
  }

private:
  /// A connection, and how many its address has.
  struct place {
    std::shared_ptr<http_connection> connection;
    std::map<address_prefix, std::size_t>::iterator crowd;
  };

  result<void> use_certificate();
  /// The address it listens on.
  result<std::string> open(tcp::acceptor& acceptor, const std::string& text);
  void accept(tcp::acceptor& acceptor, asio::steady_timer& pause);
  void take(tcp::socket socket);
  [[nodiscard]] bool make_room();
  [[nodiscard]] bool close_longest_idle();
  void forget_closed();
  void leave_crowd(const place& one);
  void tick();

  http_options options_;
  http_shared shared_;
  asio::io_context context_{1};
  asio::io_context long_context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  asio::executor_work_guard<asio::io_context::executor_type> long_work_{
      long_context_.get_executor()};
  tcp::acceptor acceptor_{context_};
  tcp::acceptor also_acceptor_{context_};
  asio::steady_timer timer_{context_};
  asio::steady_timer pause_{context_};
  asio::steady_timer also_pause_{context_};
  std::optional<asio::ssl::context> tls_;
  std::string address_;
  std::size_t places_{0}; ///< there may be
  std::vector<place> open_;
  std::map<address_prefix, std::size_t> crowds_; ///< of `open_`, by address
  prefix_budget handshakes_;
  std::vector<std::shared_ptr<http_connection>> turned_away_; ///< beyond those there may be
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  std::thread long_thread_;
};

result<void> server::use_certificate() {
  if (options_.tls_certificate.empty()) {
    return {};
  }
  tls_.emplace(asio::ssl::context::tls_server);
  tls_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                    asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                    asio::ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
  error_code e;
  tls_->use_certificate_chain_file(options_.tls_certificate, e);
  if (e) {
    return fail(errc::invalid_argument, "the TLS certificate {} cannot be used: {}",
                options_.tls_certificate, e.message());
  }
  tls_->use_private_key_file(options_.tls_key, asio::ssl::context::pem, e);
  if (e || SSL_CTX_check_private_key(tls_->native_handle()) != 1) {
    return fail(errc::invalid_argument, "the TLS key {} cannot be used, or is not that of {}",
                options_.tls_key, options_.tls_certificate);
  }
  return {};
}

result<std::string> server::open(tcp::acceptor& acceptor, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  std::uint16_t port = 0;
  if (colon == std::string::npos ||
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ec != std::errc{}) {
    return fail(errc::invalid_argument, "'{}' is no HOST:PORT to listen on", text);
  }
  if (host.size() > 2 && host.front() == '[') {
    host = host.substr(1, host.size() - 2);
  }
  error_code e;
  const auto found = tcp::resolver{context_}.resolve(host, std::to_string(port), e);
  if (e) {
    return fail(errc::not_found, "there is no address for '{}': {}", host, e.message());
  }
  const tcp::endpoint end = found.begin()->endpoint();
  acceptor.open(end.protocol(), e);
  if (!e) {
    acceptor.set_option(tcp::acceptor::reuse_address{true}, e);
    acceptor.bind(end, e);
  }
  if (!e) {
    acceptor.listen(asio::socket_base::max_listen_connections, e);
  }
  if (e) {
    return fail(errc::io_failed,
                "cannot listen on {}: {}; end the program that listens there, or change the "
                "address in the configuration",
                text, e.message());
  }
  const bool six = end.address().is_v6();
  return fmt::format(fmt::runtime(six ? "[{}]:{}" : "{}:{}"), end.address().to_string(),
                     acceptor.local_endpoint().port());
}

result<void> server::listen() {
  OVIR_TRY(use_certificate());
  OVIR_ASSIGN(address_, open(acceptor_, options_.listen));
  if (!options_.also.empty()) {
    OVIR_TRY(open(also_acceptor_, options_.also));
  }
  places_ = raise_descriptors(options_.connections_max);
  accept(acceptor_, pause_);
  if (!options_.also.empty()) {
    accept(also_acceptor_, also_pause_);
  }
  tick();
  thread_ = std::thread{[this] { context_.run(); }};
  long_thread_ = std::thread{[this] { long_context_.run(); }};
  return {};
}

void server::accept(tcp::acceptor& acceptor, asio::steady_timer& pause) {
  acceptor.async_accept([this, &acceptor, &pause](error_code e, tcp::socket socket) {
    if (e == asio::error::operation_aborted || !acceptor.is_open()) {
      return;
    }
    if (e && e != asio::error::connection_aborted && !close_longest_idle()) {
      pause.expires_after(accept_pause);
      pause.async_wait([this, &acceptor, &pause](error_code cancelled) {
        if (!cancelled) {
          accept(acceptor, pause);
        }
      });
      return;
    }
    if (!e) {
      take(std::move(socket));
    }
    accept(acceptor, pause);
  });
}

void server::take(tcp::socket socket) {
  error_code gone;
  const tcp::endpoint end = socket.remote_endpoint(gone);
  const address_prefix from = gone ? address_prefix{} : prefix_of(end.address());
  if (gone || (tls_ && !handshakes_.spend(from, clock::now()))) {
    return;
  }
  const bool has_room = make_room();
  if (!has_room && (tls_ || turned_away_.size() >= limits::http_turned_away_max)) {
    return; // every place has a request, and to say so would cost too much
  }
  error_code ignored;
  socket.set_option(tcp::no_delay{true}, ignored);
  // What a slow client costs the system is bounded, too; without this it grows to megabytes.
  socket.set_option(tcp::socket::send_buffer_size{static_cast<int>(limits::http_system_bytes)},
                    ignored);
  socket.non_blocking(true, ignored);
  auto made = make_http_connection(std::move(socket), tls_ ? &*tls_ : nullptr, shared_);
  if (!has_room) {
    turned_away_.push_back(made);
    return made->turn_away();
  }
  const auto crowd = crowds_.try_emplace(from, 0).first;
  ++crowd->second;
  open_.push_back({made, crowd});
  count_.store(open_.size());
  made->begin();
}

bool server::make_room() {
  forget_closed();
  return open_.size() < places_ || close_longest_idle();
}

/// Of those without a request under way: of the address with the most connections, the longest idle
/// one. So who holds many places loses its own.
bool server::close_longest_idle() {
  const auto rank = [](const place& p) {
    const auto since = p.connection->idle_since();
    const bool busy = since == clock::time_point::max();
    return std::tuple{busy, busy ? 0 : ~p.crowd->second, since};
  };
  const auto longest =
      std::min_element(open_.begin(), open_.end(),
                       [&rank](const place& a, const place& b) { return rank(a) < rank(b); });
  if (longest == open_.end() || longest->connection->idle_since() == clock::time_point::max()) {
    return false;
  }
  longest->connection->close();
  leave_crowd(*longest);
  open_.erase(longest);
  return true;
}

void server::forget_closed() {
  std::erase_if(open_, [this](const place& one) {
    const bool closed = one.connection->closed();
    if (closed) {
      leave_crowd(one);
    }
    return closed;
  });
}

void server::leave_crowd(const place& one) {
  if (--one.crowd->second == 0) {
    crowds_.erase(one.crowd);
  }
}

void server::tick() {
  timer_.expires_after(limits::http_tick);
  timer_.async_wait([this](error_code cancelled) {
    if (cancelled || stopping_.load()) {
      return;
    }
    const auto now = clock::now();
    const auto all = open_; // closing one may change the list
    for (const place& one : all) {
      one.connection->check_time(now);
    }
    for (const auto& connection : turned_away_) {
      connection->check_time(now);
    }
    forget_closed();
    std::erase_if(turned_away_, [](const auto& connection) { return connection->closed(); });
    count_.store(open_.size());
    shared_.handler.tick();
    tick();
  });
}

} // namespace

result<std::unique_ptr<http_server>> http_server::start(const http_options& options,
                                                        http_handler& handler) {
  auto made = std::make_unique<server>(options, handler);
  OVIR_TRY(made->listen());
  return std::unique_ptr<http_server>{std::move(made)};
}

} // namespace ovir::gateway
