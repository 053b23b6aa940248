#include "actors/quic/either_network.hpp"

#include "actors/link/link_format.hpp"
#include "actors/link/udp_door.hpp"
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
#include <unordered_set>
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

/// Both networks of a node as one. Outgoing connections have the number that the first of them gave
/// them, also when the other carries them in the end.
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
  class door;
  struct dial {
    std::string address;
    channel kind{channel::control};
    node_id expected;
  };

  // What the door passes on.
  void serve(udp_door::calls to);
  void send_datagram(const std::string& to, std::vector<std::byte> datagram);
  [[nodiscard]] bool punch(connection_id wanted, const std::string& to, channel kind,
                           const node_id& expected);
  void drop_punch(connection_id wanted);
  [[nodiscard]] bool is_linked(const node_id& node) const;
  [[nodiscard]] std::uint16_t udp_port() const;
  /// What comes of a link over QUIC that was begun in place of another.
  enum class fate : std::uint8_t { other, stands, refused };
  [[nodiscard]] fate take_place(const peer_info& peer);
  void count_quic(const peer_info& peer, bool stands);

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
  // Links over QUIC in place of ones that are looked for.
  std::shared_ptr<udp_door> door_;
  std::shared_ptr<const udp_door::calls> door_calls_;
  std::unordered_map<std::uint64_t, connection_id> punches_; ///< under way, and in place of which
  std::unordered_set<std::uint64_t> dropped_;                ///< their end is not told
  std::atomic<std::size_t> drops_{0};       ///< size of `dropped_`, without the lock
  std::unordered_set<std::uint64_t> stood_; ///< over QUIC, all of them
  std::atomic<std::size_t> placed_{0};      ///< that stand, without the lock
  struct quic_links {
    std::size_t all{0};
    std::size_t controls{0};
    std::size_t placed{0};
  };
  std::map<node_id, quic_links> quic_links_; ///< that stand
};

/// Outlives neither network: both end before it.
class either_network::door final : public udp_door {
public:
  explicit door(either_network& of) : of_(of) {}
  void serve(calls to) override { of_.serve(std::move(to)); }
  void send(const std::string& to, std::vector<std::byte> datagram) override {
    of_.send_datagram(to, std::move(datagram));
  }
  [[nodiscard]] bool connect(connection_id wanted, const std::string& to, channel kind,
                             const node_id& expected) override {
    return of_.punch(wanted, to, kind, expected);
  }
  void drop(connection_id wanted) override { of_.drop_punch(wanted); }
  [[nodiscard]] bool is_linked(const node_id& node) const override { return of_.is_linked(node); }
  [[nodiscard]] std::uint16_t port() const override { return of_.udp_port(); }

private:
  either_network& of_;
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
    door_ = std::make_shared<door>(*this);
    over_tcp.nat.udp = door_;
    over_quic.other = [this](const std::string& from, std::vector<std::byte> datagram) {
      std::shared_ptr<const udp_door::calls> to;
      {
        const std::lock_guard lock{mutex_};
        to = door_calls_;
      }
      if (to) {
        to->heard(from, std::move(datagram));
      }
    };
    OVIR_ASSIGN(tls_, tcp(key, over_tcp, *this));
    if (!options_.listen.empty()) {
      over_quic.listen = tls_->listen_address();
    }
    over_quic.unanswered = [this](const peer_info& peer, const error& /*reason*/) {
      return unanswered(peer);
    };
  }
  OVIR_ASSIGN(auto quic, quic_network::start(key, over_quic, *this));
  {
    const std::lock_guard lock{mutex_}; // the door is open already
    quic_ = std::move(quic);
  }
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
  const bool linked = !expected.empty() && quic_links_.contains(expected);
  if (kind == channel::admin || (!linked && goes_by_tcp(address))) {
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
  if (changed_.load() == 0 || (is_of_quic(connection) && placed_.load() == 0)) {
    return connection;
  }
  const std::lock_guard lock{mutex_};
  const auto at = told_of_.find(connection.value);
  return at == told_of_.end() ? connection : at->second;
}

connection_id either_network::carried(connection_id connection) const {
  if (changed_.load() == 0 || (!is_of_quic(connection) && placed_.load() == 0)) {
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
  over.close(by, reason);
  if (const connection_id then = carried(connection); then != by && is_of_quic(then)) {
    quic_->close(then, std::move(reason)); // it went over to QUIC at this very moment
  }
}

// Links over QUIC in place of ones that are looked for

void either_network::serve(udp_door::calls to) {
  const std::lock_guard lock{mutex_};
  door_calls_ = to.heard ? std::make_shared<const udp_door::calls>(std::move(to)) : nullptr;
}

void either_network::send_datagram(const std::string& to, std::vector<std::byte> datagram) {
  const std::lock_guard lock{mutex_};
  if (!over_ && quic_) {
    quic_->send_datagram(to, std::move(datagram));
  }
}

bool either_network::punch(connection_id wanted, const std::string& to, channel kind,
                           const node_id& expected) {
  const std::lock_guard lock{mutex_};
  if (over_ || !quic_) {
    return false;
  }
  punches_.emplace(quic_->connect(to, kind, expected).value, wanted);
  return true;
}

void either_network::drop_punch(connection_id wanted) {
  const std::lock_guard lock{mutex_};
  for (auto at = punches_.begin(); at != punches_.end(); ++at) {
    if (at->second == wanted) {
      const connection_id by{at->first};
      punches_.erase(at);
      dropped_.insert(by.value);
      drops_.store(dropped_.size());
      if (!over_ && quic_) {
        quic_->close(by, {errc::cancelled, "another way is tried"});
      }
      return;
    }
  }
}

bool either_network::is_linked(const node_id& node) const {
  const std::lock_guard lock{mutex_};
  const auto at = quic_links_.find(node);
  return at != quic_links_.end() && at->second.controls > 0;
}

std::uint16_t either_network::udp_port() const {
  const std::lock_guard lock{mutex_};
  const auto parts = parse_host_and_port(!over_ && quic_ ? quic_->listen_address() : std::string{});
  return parts ? parts->port : std::uint16_t{0};
}

/// Under the lock: `stands` and what it changes here are one moment for `close`.
either_network::fate either_network::take_place(const peer_info& peer) {
  if (dropped_.contains(peer.connection.value)) {
    return fate::refused;
  }
  const auto under_way = punches_.extract(peer.connection.value);
  if (!under_way) {
    return fate::other;
  }
  const connection_id wanted = under_way.mapped();
  if (!door_calls_ || !door_calls_->stands(wanted)) {
    dropped_.insert(peer.connection.value);
    drops_.store(dropped_.size());
    return fate::refused;
  }
  const auto before = told_of_.find(wanted.value);
  const connection_id name = before == told_of_.end() ? wanted : before->second;
  if (before != told_of_.end()) {
    told_of_.erase(before);
  }
  tcp_of_[name.value] = peer.connection;
  told_of_[peer.connection.value] = name;
  placed_.store(placed_.load() + 1);
  changed_.store(tcp_of_.size());
  return fate::stands;
}

void either_network::count_quic(const peer_info& peer, bool stands) {
  if (stands) {
    quic_links& of = quic_links_[peer.node];
    ++of.all;
    of.controls += peer.kind == channel::control ? 1 : 0;
  } else if (const auto at = quic_links_.find(peer.node); at != quic_links_.end()) {
    at->second.controls -= peer.kind == channel::control && at->second.controls > 0 ? 1 : 0;
    if (--at->second.all == 0) {
      quic_links_.erase(at);
    }
  }
}

// What the two tell

void either_network::connected(const peer_info& peer) {
  std::shared_ptr<const udp_door::calls> helper;
  {
    const std::lock_guard lock{mutex_};
    dials_.erase(peer.connection.value);
    if (is_of_quic(peer.connection)) {
      const fate what = take_place(peer);
      if (what == fate::refused) {
        if (!over_) { // else it ends anyway
          quic_->close(peer.connection, {errc::cancelled, "another way is tried"});
        }
        return;
      }
      stood_.insert(peer.connection.value);
      count_quic(peer, true);
      quic_links& of = quic_links_[peer.node];
      of.placed += what == fate::stands ? 1 : 0;
      // Behind a router nothing listens where its knocks came from.
      if (of.placed == 0 && !peer.incoming && peer.kind == channel::control && !peer.seen.empty()) {
        helper = door_calls_;
      }
    }
  }
  if (helper) {
    helper->reached(peer);
  }
  peer_info known = peer;
  known.connection = told(peer.connection);
  handler_.connected(known);
}

void either_network::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                              received_bytes bytes) {
  if (drops_.load() > 0) {
    const std::lock_guard lock{mutex_};
    if (dropped_.contains(peer.connection.value)) {
      return; // the other end does not know yet
    }
  }
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
  std::shared_ptr<const udp_door::calls> to;
  std::optional<connection_id> wanted;
  {
    const std::lock_guard lock{mutex_};
    if (dropped_.erase(peer.connection.value) > 0) {
      drops_.store(dropped_.size());
      return;
    }
    if (const auto punch = punches_.extract(peer.connection.value)) {
      wanted = punch.mapped();
      to = door_calls_;
    } else if (stood_.erase(peer.connection.value) > 0) {
      count_quic(peer, false);
    }
    if (is_of_quic(peer.connection) && told_of_.contains(peer.connection.value)) {
      placed_.store(placed_.load() - 1);
    }
    dials_.erase(peer.connection.value);
    tcp_of_.erase(known.connection.value);
    told_of_.erase(peer.connection.value);
    changed_.store(tcp_of_.size());
  }
  if (wanted) { // another way is tried for it
    if (to) {
      to->failed(*wanted, reason);
    }
    return;
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
