#pragma once

#include "actors/link/tls_network.hpp"
#include "learning/rounds/letters.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace ovir::apps {

/// Letters of a round over the links of nodes (docs/formats/link.md): mutual TLS with node keys,
/// the cluster's name `ovir-rounds-1`, frames of the channel data. Used by one thread; the
/// network's threads only hand events over.
class round_link : private actors::network_handler {
public:
  using clock = std::chrono::steady_clock;

  struct up {
    node_id node;
  };
  struct down { ///< the last connection with it; `node` is empty where there was none
    node_id node;
    error reason;
  };
  struct heard {
    node_id from;
    learning::letter what;
  };
  /// Monostate: nothing until then.
  using event = std::variant<std::monostate, up, down, heard>;

  /// `listen` empty: connects only. Peers whose key is not in `admitted` are turned away. `key`
  /// outlives it. `io_failed` where it cannot listen.
  [[nodiscard]] static result<std::unique_ptr<round_link>>
  make(const secret_key& key, const std::string& listen, std::vector<node_id> admitted);
  ~round_link() override;
  round_link(const round_link&) = delete;
  round_link& operator=(const round_link&) = delete;

  [[nodiscard]] std::string address() const { return network_->listen_address(); }
  /// Begins a connection; `up` or `down` will tell.
  void connect(const std::string& address);
  /// False where there is no connection with it: it will hear when it comes back.
  bool send(const node_id& to, const std::vector<std::byte>& bytes);
  /// Ends the connection with this node, after what was sent.
  void drop(const node_id& node, const error& reason);
  /// What comes next, waiting for it until then. Who sends what is no letter is dropped.
  [[nodiscard]] event next(clock::time_point until);

private:
  struct arrival {
    actors::connection_id connection;
    node_id node;
    std::variant<up, down, actors::received_bytes> what;
  };

  explicit round_link(std::vector<node_id> admitted) : admitted_(std::move(admitted)) {}

  [[nodiscard]] result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;
  void arrive(arrival one);
  [[nodiscard]] event event_of(arrival one);

  std::vector<node_id> admitted_; ///< sorted
  std::map<node_id, actors::connection_id> connections_;
  std::mutex guard_; ///< for the following two
  std::condition_variable arrived_;
  std::deque<arrival> arrivals_;
  std::unique_ptr<actors::listening_network> network_; ///< last: its threads use the rest
};

} // namespace ovir::apps
