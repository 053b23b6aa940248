#include "actors/shared/shared_network.hpp"

#include "actors/shared/greeter.hpp"
#include "actors/shared/greeting.hpp"
#include "actors/shared/shared_link.hpp"
#include "messages/limits/shared.hpp"
#include "storage/env/thread_signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace ovir::actors {

namespace {

using clock = std::chrono::steady_clock;

/// Ends the sleep of a thread that polls it. Any thread.
class wake_event {
public:
  wake_event() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  [[nodiscard]] bool works() const noexcept { return bool{event_}; }
  [[nodiscard]] int get() const noexcept { return event_.get(); }
  void set() const {
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof(one));
  }
  void clear() const {
    std::uint64_t count = 0;
    (void)!::read(event_.get(), &count, sizeof(count));
  }

private:
  file_handle event_;
};

/// A data connection that may go through memory.
struct local_connection {
  local_connection(peer_info with, const digest& knows) : peer(std::move(with)), pass(knows) {}

  const peer_info peer;
  const digest pass;
  /// The other side knows of it, or will be asked: by its opener, once a message goes over it.
  std::atomic<bool> greeted{false};
  /// Messages that came over the connection itself and that the handler has.
  const std::shared_ptr<std::atomic<std::uint64_t>> came =
      std::make_shared<std::atomic<std::uint64_t>>(0);

  std::mutex guard;                  ///< for what follows, and for the order of what is sent
  std::uint64_t sent{0};             ///< over the connection itself
  std::shared_ptr<shared_link> link; ///< null: not yet
  bool ended{false};

  [[nodiscard]] std::shared_ptr<shared_link> link_now() {
    const std::lock_guard lock{guard};
    return link;
  }
};

/// Rare enough that a spinning thread does not disturb the one beside it on its core.
void rest_a_moment() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class shared_threads final : public listening_network, private network_handler {
public:
  shared_threads(const tls_options& options, network_handler& handler, file_handle door)
      : handler_(handler), busy_(options.busy_read), half_message_(options.deadlines.half_message),
        traffic_(options.traffic), greeter_(std::move(door)) {}
  ~shared_threads() override;

  result<void> start(const secret_key& key, const tls_options& options,
                     const network_starter& links);

  connection_id connect(const std::string& address, channel kind,
                        const node_id& expected) override {
    return inner_->connect(address, kind, expected);
  }
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(connection_id connection, error reason) override;
  [[nodiscard]] std::string listen_address() const override { return inner_->listen_address(); }
  [[nodiscard]] std::string admin_address() const override { return inner_->admin_address(); }

private:
  using local = std::shared_ptr<local_connection>;

  // network_handler
  result<role_set> admit(const peer_hello& hello) override { return handler_.admit(hello); }
  std::uint64_t last_loss(const node_id& node) const override { return handler_.last_loss(node); }
  void connected(const peer_info& peer) override;
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override;
  void closed(const peer_info& peer, const error& reason) override;

  [[nodiscard]] local find(connection_id connection);
  void greet_once(const local& connection);

  // The thread
  void post(std::function<void()> task);
  void serve();
  void run_tasks();
  [[nodiscard]] bool serve_links();
  [[nodiscard]] bool may_sleep();
  void look(bool sleeps);
  void open(greeter::meeting met);
  void drop(std::size_t link, const error& reason);

  network_handler& handler_;
  const std::chrono::microseconds busy_;
  const std::chrono::milliseconds half_message_;
  const std::shared_ptr<network_traffic> traffic_;
  const std::shared_ptr<wake_event> wake_ = std::make_shared<wake_event>();
  std::unique_ptr<listening_network> inner_;
  std::atomic<listening_network*> network_{nullptr}; ///< `inner_`, once it is there

  std::mutex mutex_; ///< for what follows
  std::unordered_map<std::uint64_t, local> connections_;
  std::vector<std::function<void()>> tasks_;

  std::atomic<bool> has_tasks_{false};
  std::atomic<bool> over_{false};
  // Of the thread alone
  greeter greeter_;
  bool greets_{false}; ///< it has something to do
  std::vector<std::shared_ptr<shared_link>> links_;
  std::thread thread_;
};

shared_threads::~shared_threads() {
  over_.store(true);
  wake_->set();
  if (thread_.joinable()) {
    thread_.join();
  }
  network_.store(nullptr);
  inner_.reset(); // tells of every end
}

result<void> shared_threads::start(const secret_key& key, const tls_options& options,
                                   const network_starter& links) {
  OVIR_ASSIGN(inner_, links(key, options, *this));
  network_.store(inner_.get());
  thread_ = std::thread{[this] {
    storage::leave_signals_to_main();
    serve();
  }};
  return {};
}

shared_threads::local shared_threads::find(connection_id connection) {
  const std::lock_guard lock{mutex_};
  const auto found = connections_.find(connection.value);
  return found == connections_.end() ? nullptr : found->second;
}

// Both ways

result<void> shared_threads::send(connection_id connection, message_kind kind, std::uint32_t target,
                                  std::shared_ptr<const std::vector<std::byte>> bytes) {
  const local one = find(connection);
  if (one == nullptr) {
    return inner_->send(connection, kind, target, std::move(bytes));
  }
  std::unique_lock lock{one->guard};
  if (one->link == nullptr) {
    greet_once(one);
    auto sent = inner_->send(connection, kind, target, std::move(bytes));
    one->sent += sent ? 1 : 0;
    return sent;
  }
  auto sent = one->link->send(kind, target, std::move(bytes));
  lock.unlock();
  if (!sent && (sent.error().code == errc::busy || sent.error().code == errc::malformed)) {
    inner_->close(connection, sent.error());
  }
  return sent;
}

void shared_threads::close(connection_id connection, error reason) {
  const local one = find(connection);
  if (const auto link = one == nullptr ? nullptr : one->link_now()) {
    link->close(std::move(reason));
  } else {
    inner_->close(connection, std::move(reason));
  }
}

void shared_threads::connected(const peer_info& peer) {
  listening_network* const network = network_.load();
  if (peer.kind == channel::data && network != nullptr) {
    if (const auto pass = network->pass(peer.connection)) {
      const auto one = std::make_shared<local_connection>(peer, *pass);
      {
        const std::lock_guard lock{mutex_};
        connections_.emplace(peer.connection.value, one);
      }
      if (peer.incoming) {
        greet_once(one);
      }
    }
  }
  handler_.connected(peer);
}

/// A connection that no tensor goes over needs no memory.
void shared_threads::greet_once(const local& connection) {
  if (connection->greeted.exchange(true)) {
    return;
  }
  post([this, connection] {
    const peer_info& peer = connection->peer;
    if (peer.incoming) {
      greeter_.expect(peer.connection, connection->pass);
    } else if (links_.size() < limits::shared_links_max) {
      greeter_.greet(peer.connection, connection->pass, door_name(peer.node, peer.life),
                     clock::now());
    }
    greets_ = true;
  });
}

void shared_threads::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                              received_bytes bytes) {
  const local one = peer.kind == channel::data ? find(peer.connection) : nullptr;
  if (one == nullptr) {
    handler_.received(peer, kind, target, std::move(bytes));
    return;
  }
  if (!peer.incoming) {
    greet_once(one);
  }
  const auto link = one->link_now();
  if (link != nullptr && link->began()) {
    inner_->close(peer.connection,
                  fail(errc::malformed, "node {} sends in two ways", short_name(peer.node)));
    return;
  }
  handler_.received(peer, kind, target, std::move(bytes));
  one->came->fetch_add(1);
  if (const auto now = one->link_now()) {
    now->more_came();
  }
}

void shared_threads::closed(const peer_info& peer, const error& reason) {
  local one;
  {
    const std::lock_guard lock{mutex_};
    if (auto found = connections_.find(peer.connection.value); found != connections_.end()) {
      one = std::move(found->second);
      connections_.erase(found);
    }
  }
  if (one != nullptr) {
    std::shared_ptr<shared_link> link;
    {
      const std::lock_guard lock{one->guard};
      one->ended = true;
      link = one->link;
    }
    if (link != nullptr) {
      link->end();
    }
    post([this, connection = peer.connection] {
      greeter_.forget(connection);
      std::erase_if(links_, [&](const auto& l) { return l->peer().connection == connection; });
    });
  }
  handler_.closed(peer, reason);
}

// The thread

void shared_threads::post(std::function<void()> task) {
  {
    const std::lock_guard lock{mutex_};
    tasks_.push_back(std::move(task));
  }
  has_tasks_.store(true);
  wake_->set();
}

void shared_threads::run_tasks() {
  if (!has_tasks_.exchange(false)) {
    return;
  }
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock{mutex_};
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) {
    task();
  }
}

void shared_threads::serve() {
  auto active = clock::now();
  std::uint32_t turns = 0; // since it looked
  while (!over_.load()) {
    run_tasks();
    if (std::exchange(greets_, false)) {
      const std::size_t room =
          limits::shared_links_max - std::min(limits::shared_links_max, links_.size());
      for (greeter::meeting& met : greeter_.turn(clock::now(), room)) {
        open(std::move(met));
      }
    }
    const bool moved = serve_links();
    const auto now = clock::now();
    active = moved ? now : active;
    const bool spins = busy_.count() > 0 && !links_.empty() && now - active < busy_;
    if ((moved || spins) && ++turns < limits::shared_turns_max) {
      if (!moved) {
        rest_a_moment();
      }
      continue;
    }
    turns = 0;
    const bool sleeps = !moved && !spins && may_sleep();
    look(sleeps);
    active = sleeps ? clock::now() : active;
  }
}

/// Messages from now on take the memory: those that were sent before are counted.
void shared_threads::open(greeter::meeting met) {
  const local one = find(met.connection);
  if (one == nullptr) {
    return;
  }
  const std::lock_guard lock{one->guard};
  if (one->ended || one->link != nullptr) {
    return;
  }
  one->link = std::make_shared<shared_link>(shared_parts{one->peer, std::move(met.socket),
                                                         std::move(met.region), met.opener,
                                                         one->sent, one->came, half_message_},
                                            handler_, traffic_, [wake = wake_] { wake->set(); });
  links_.push_back(one->link);
}

/// Whether anything moved.
bool shared_threads::serve_links() {
  bool moved = false;
  const auto now = clock::now();
  for (std::size_t i = 0; i < links_.size();) {
    const auto link = links_[i]; // its handler may do anything meanwhile
    const auto turned = link->turn(now);
    if (!turned) {
      drop(i, turned.error());
      continue;
    }
    moved = moved || *turned;
    ++i;
  }
  return moved;
}

/// The connection ends for this reason; `closed` tells of it.
void shared_threads::drop(std::size_t link, const error& reason) {
  const connection_id connection = links_[link]->peer().connection;
  links_.erase(links_.begin() + static_cast<std::ptrdiff_t>(link));
  inner_->close(connection, reason);
}

bool shared_threads::may_sleep() {
  bool ready = has_tasks_.load();
  for (std::size_t i = 0; i < links_.size();) {
    const auto there = links_[i]->sleep();
    if (!there) {
      drop(i, there.error());
      ready = true;
      continue;
    }
    ready = ready || *there;
    ++i;
  }
  return !ready;
}

/// Takes bells, greetings and ends; `sleeps`: until there are some.
void shared_threads::look(bool sleeps) {
  std::vector<int> sockets{wake_->get()};
  greeter_.add_sockets(sockets);
  const std::size_t greetings = sockets.size();
  bool watched = greeter_.watched();
  for (const auto& link : links_) {
    sockets.push_back(link->bells()); // poll passes over what is negative
    watched = watched || link->watched();
  }
  std::vector<pollfd> polled;
  for (const int socket : sockets) {
    polled.push_back({socket, POLLIN, 0});
  }
  const int most = !sleeps   ? 0
                   : watched ? static_cast<int>(limits::shared_watch_interval.count())
                             : -1;
  (void)::poll(polled.data(), static_cast<nfds_t>(polled.size()), most);
  if (polled.front().revents != 0) {
    wake_->clear();
  }
  greets_ = greets_ || greeter_.watched() ||
            std::any_of(polled.begin() + 1, polled.begin() + static_cast<std::ptrdiff_t>(greetings),
                        [](const pollfd& p) { return p.revents != 0; });
  const auto now = clock::now();
  for (std::size_t i = greetings; i < polled.size(); ++i) {
    if (polled[i].revents != 0) {
      links_[i - greetings]->hear(now);
    }
  }
}

} // namespace

result<std::unique_ptr<listening_network>> shared_network::start(const secret_key& key,
                                                                 const tls_options& options,
                                                                 network_handler& handler,
                                                                 const network_starter& links) {
  std::optional<file_handle> door;
  if (options.shared_memory) {
    // Where none can be opened this process may still greet others.
    auto opened = options.listen.empty() ? result<file_handle>{file_handle{}}
                                         : open_door(door_name(key.id(), options.identity.life));
    door = opened ? std::move(*opened) : file_handle{};
  }
  if (!door) {
    return links(key, options, handler);
  }
  auto network = std::make_unique<shared_threads>(options, handler, std::move(*door));
  OVIR_TRY(network->start(key, options, links));
  return std::unique_ptr<listening_network>{std::move(network)};
}

} // namespace ovir::actors
