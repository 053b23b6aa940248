#pragma once

#include "actors/link/network.hpp"
#include "apps/console.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace ovir::apps {

/// Where a shell connects to, and whom it believes there.
struct shell_target {
  std::vector<std::string> addresses; ///< HOST:PORT, at least one
  std::vector<node_id> nodes;         ///< empty: whoever answers
};

/// An admin connection to one of several nodes at a time. Its messages are JSON documents
/// (docs/formats/admin.md). Used by one thread; the network's threads only hand events over.
class shell_link : private actors::network_handler {
public:
  using clock = std::chrono::steady_clock;

  struct up {
    node_id node;
  };
  struct down {
    error reason;
  };
  /// Monostate: nothing until then.
  using event = std::variant<std::monostate, up, down, json>;

  /// Connects to nobody yet. `key` outlives it.
  [[nodiscard]] static result<std::unique_ptr<shell_link>> make(const secret_key& key,
                                                                shell_target target);
  ~shell_link() override;
  shell_link(const shell_link&) = delete;
  shell_link& operator=(const shell_link&) = delete;

  /// Begins a connection to the next address in turn, after the last the first; drops the one there
  /// is. `up` or `down` will tell.
  void connect_next();
  [[nodiscard]] bool is_up() const noexcept { return up_; }
  [[nodiscard]] std::size_t places() const noexcept { return target_.addresses.size(); }
  /// Who answers; empty until somebody did.
  [[nodiscard]] const node_id& peer() const noexcept { return peer_; }
  /// The address tried last.
  [[nodiscard]] const std::string& place() const { return target_.addresses[at_]; }

  /// `peer_lost` without a connection; `over_limit` for a document beyond limits::admin_bytes_max.
  [[nodiscard]] result<void> send(const json& request);

  /// What comes next, waiting for it until then. A reply that is no JSON object ends the
  /// connection: `down` with `malformed`.
  [[nodiscard]] event next(clock::time_point until);

private:
  using raw_event = std::variant<up, down, actors::received_bytes>;
  struct arrival {
    actors::connection_id connection;
    raw_event what;
  };

  explicit shell_link(shell_target target) : target_(std::move(target)) {}

  [[nodiscard]] result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;
  void arrive(actors::connection_id connection, raw_event what);

  shell_target target_;
  std::size_t at_{0};
  bool tried_{false};
  bool up_{false};
  node_id peer_;
  actors::connection_id current_{};
  std::mutex guard_; ///< for the following two
  std::condition_variable arrived_;
  std::deque<arrival> arrivals_;
  std::unique_ptr<actors::network> network_; ///< last: its threads use the rest
};

} // namespace ovir::apps
