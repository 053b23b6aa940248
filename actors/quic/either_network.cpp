#include "actors/quic/either_network.hpp"

#include "actors/link/link_format.hpp"
#include "actors/quic/quic_network.hpp"
#include "messages/limits/quic.hpp"
#include "messages/near_address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace ovir::actors {

namespace {

bool is_of_quic(connection_id connection) { return (connection.value & quic_network::id_bit) != 0; }

/// A name is far, but for this machine's own.
bool is_near_host(const std::string& host) {
  std::array<unsigned char, 16> six{};
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) {
    return is_near(prefix_of(ntohl(four.s_addr)));
  }
  if (::inet_pton(AF_INET6, host.c_str(), six.data()) == 1) {
    return is_near(prefix_of(six));
  }
  return host == "localhost";
}

/// Both networks of a node as one. Outgoing connections have the number that QUIC gave them, also
/// when TCP carries them in the end.
class either_network final : public listening_network, private network_handler {
public:
  either_network(const tls_options& options, network_handler& handler)
      : handler_(handler), options_(options) {}
  ~either_network() override;

  result<void> start(const secret_key& key, const network_starter& tcp);

  connection_id connect(const std::string& address, channel kind, const node_id& expected) override;
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(connection_id connection, error reason) override;
  [[nodiscard]] std::string listen_address() const override;
  [[nodiscard]] std::string admin_address() const override { return tls_->admin_address(); }
  [[nodiscard]] std::optional<digest> pass(connection_id connection) const override;

private:
  using clock = std::chrono::steady_clock;
  struct dial {
    std::string address;
    channel kind{channel::control};
    node_id expected;
  };

  result<void> start_both(const secret_key& key, const network_starter& tcp);
  [[nodiscard]] bool goes_by_tcp(const std::string& address);
  [[nodiscard]] bool unanswered(const peer_info& peer);
  /// The connection as its owner knows it.
  [[nodiscard]] connection_id told(connection_id connection);
  [[nodiscard]] connection_id carried(connection_id connection) const;

  result<role_set> admit(const peer_hello& hello) override { return handler_.admit(hello); }
  [[nodiscard]] std::uint64_t last_loss(const node_id& node) const override {
    return handler_.last_loss(node);
  }
  void connected(const peer_info& peer) override;
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override;
  void closed(const peer_info& peer, const error& reason) override;

  network_handler& handler_;
  const tls_options options_;
  std::unique_ptr<listening_network> tls_;
  std::unique_ptr<quic_network> quic_;
  std::atomic<std::size_t> changed_{0}; ///< size of `tcp_of_`, without the lock
  mutable std::mutex mutex_;            ///< for what follows
  bool over_{false};
  std::unordered_map<std::uint64_t, dial> dials_;            ///< over QUIC, under way
  std::unordered_map<std::uint64_t, connection_id> tcp_of_;  ///< by the number that was told
  std::unordered_map<std::uint64_t, connection_id> told_of_; ///< and back
  std::map<std::string, clock::time_point> unanswered_;      ///< addresses, and until when
};

either_network::~either_network() {
  {
    const std::lock_guard lock{mutex_};
    over_ = true;
  }
  quic_.reset(); // first: it may hand connections to the other
  tls_.reset();
}

result<void> either_network::start(const secret_key& key, const network_starter& tcp) {
  const auto own = parse_host_and_port(options_.listen);
  const bool any_port = own && own->port == 0;
  result<void> started = start_both(key, tcp);
  // The port that the system chose for one may be taken for the other.
  for (int i = 1; i < limits::quic_port_tries && any_port && !started; ++i) {
    quic_.reset();
    tls_.reset();
    started = start_both(key, tcp);
  }
  return started;
}

result<void> either_network::start_both(const secret_key& key, const network_starter& tcp) {
  const bool members_too = options_.transport == link_transport::automatic;
  tls_options over_tcp = options_;
  quic_options over_quic;
  over_quic.identity = options_.identity;
  over_quic.listen = options_.listen;
  over_quic.deadlines = options_.deadlines;
  over_quic.traffic = options_.traffic;
  if (members_too) {
    OVIR_ASSIGN(tls_, tcp(key, over_tcp, *this));
    if (!options_.listen.empty()) {
      over_quic.listen = tls_->listen_address();
    }
    over_quic.unanswered = [this](const peer_info& peer, const error& /*reason*/) {
      return unanswered(peer);
    };
  }
  OVIR_ASSIGN(quic_, quic_network::start(key, over_quic, *this));
  if (!members_too) {
    if (over_tcp.admin_listen.empty()) {
      over_tcp.admin_listen = quic_->listen_address();
    }
    over_tcp.listen.clear();
    if (over_tcp.identity.address.empty()) {
      over_tcp.identity.address = quic_->listen_address();
    }
    OVIR_ASSIGN(tls_, tcp(key, over_tcp, *this));
  }
  return {};
}

std::string either_network::listen_address() const {
  return options_.transport == link_transport::quic ? quic_->listen_address()
                                                    : tls_->listen_address();
}

// Which of the two

bool either_network::goes_by_tcp(const std::string& address) {
  if (options_.transport != link_transport::automatic) {
    return false;
  }
  const auto parts = parse_host_and_port(address);
  if (!parts || is_near_host(parts->host)) {
    return true;
  }
  const auto at = unanswered_.find(address);
  if (at == unanswered_.end()) {
    return false;
  }
  if (at->second > clock::now()) {
    return true;
  }
  unanswered_.erase(at);
  return false;
}

connection_id either_network::connect(const std::string& address, channel kind,
                                      const node_id& expected) {
  const std::lock_guard lock{mutex_};
  if (kind == channel::admin || goes_by_tcp(address)) {
    return tls_->connect(address, kind, expected);
  }
  const connection_id id = quic_->connect(address, kind, expected);
  if (options_.transport == link_transport::automatic) {
    dials_.emplace(id.value, dial{address, kind, expected});
  }
  return id;
}

/// On QUIC's thread: nothing was heard of the other side.
bool either_network::unanswered(const peer_info& peer) {
  const std::lock_guard lock{mutex_};
  auto under_way = dials_.extract(peer.connection.value);
  if (over_ || !under_way) {
    return false;
  }
  const dial& what = under_way.mapped();
  if (unanswered_.size() >= limits::quic_unanswered_max) {
    unanswered_.erase(
        std::min_element(unanswered_.begin(), unanswered_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  unanswered_[what.address] = clock::now() + limits::quic_unanswered_for;
  changed_.store(tcp_of_.size() +
                 1); // before TCP can tell of it: who hears that waits for the lock
  const connection_id tcp = tls_->connect(what.address, what.kind, what.expected);
  tcp_of_[peer.connection.value] = tcp;
  told_of_[tcp.value] = peer.connection;
  changed_.store(tcp_of_.size());
  return true;
}

connection_id either_network::told(connection_id connection) {
  if (is_of_quic(connection) || changed_.load() == 0) {
    return connection;
  }
  const std::lock_guard lock{mutex_};
  const auto at = told_of_.find(connection.value);
  return at == told_of_.end() ? connection : at->second;
}

connection_id either_network::carried(connection_id connection) const {
  if (!is_of_quic(connection) || changed_.load() == 0) {
    return connection;
  }
  const std::lock_guard lock{mutex_};
  const auto at = tcp_of_.find(connection.value);
  return at == tcp_of_.end() ? connection : at->second;
}

result<void> either_network::send(connection_id connection, message_kind kind, std::uint32_t target,
                                  std::shared_ptr<const std::vector<std::byte>> bytes) {
  const connection_id by = carried(connection);
  network& over = is_of_quic(by) ? static_cast<network&>(*quic_) : *tls_;
  return over.send(by, kind, target, std::move(bytes));
}

std::optional<digest> either_network::pass(connection_id connection) const {
  const connection_id by = carried(connection);
  return is_of_quic(by) ? std::nullopt : tls_->pass(by);
}

void either_network::close(connection_id connection, error reason) {
  {
    const std::lock_guard lock{mutex_};
    dials_.erase(connection.value); // it shall not go over to TCP any more
  }
  const connection_id by = carried(connection);
  network& over = is_of_quic(by) ? static_cast<network&>(*quic_) : *tls_;
  over.close(by, std::move(reason));
}

// What the two tell

void either_network::connected(const peer_info& peer) {
  {
    const std::lock_guard lock{mutex_};
    dials_.erase(peer.connection.value);
  }
  peer_info known = peer;
  known.connection = told(peer.connection);
  handler_.connected(known);
}

void either_network::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                              received_bytes bytes) {
  const connection_id id = told(peer.connection);
  if (id == peer.connection) {
    handler_.received(peer, kind, target, std::move(bytes));
    return;
  }
  peer_info known = peer;
  known.connection = id;
  handler_.received(known, kind, target, std::move(bytes));
}

void either_network::closed(const peer_info& peer, const error& reason) {
  peer_info known = peer;
  known.connection = told(peer.connection);
  {
    const std::lock_guard lock{mutex_};
    dials_.erase(peer.connection.value);
    tcp_of_.erase(known.connection.value);
    told_of_.erase(peer.connection.value);
    changed_.store(tcp_of_.size());
  }
  handler_.closed(known, reason);
}

} // namespace

result<std::unique_ptr<listening_network>> start_links(const secret_key& key,
                                                       const tls_options& options,
                                                       network_handler& handler,
                                                       const network_starter& tcp) {
  if (options.transport == link_transport::tcp) {
    return tcp(key, options, handler);
  }
  auto both = std::make_unique<either_network>(options, handler);
  OVIR_TRY(both->start(key, tcp));
  return std::unique_ptr<listening_network>{std::move(both)};
}

} // namespace ovir::actors
