#pragma once

#include "actors/link/network.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ovir::test {

/// A handler of connections that remembers what it was told, and waits for it. Every wait ends
/// after 30 seconds at the latest and then returns nothing.
class link_recorder : public actors::network_handler {
public:
  struct message {
    actors::peer_info peer;
    actors::message_kind kind{};
    std::uint32_t target{0};
    actors::received_bytes bytes;
  };
  struct ending {
    actors::peer_info peer;
    error reason;
  };
  using judge = std::function<result<role_set>(const actors::peer_hello&)>;

  /// Without a judge everybody gets the roles it asks for.
  explicit link_recorder(judge admits = {}) : admits_(std::move(admits)) {}

  result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;

  /// The `count`-th connection, message or ending since the beginning, counted from 0.
  [[nodiscard]] std::optional<actors::peer_info> wait_connected(std::size_t count = 0);
  [[nodiscard]] std::optional<message> wait_received(std::size_t count = 0);
  [[nodiscard]] std::optional<ending> wait_closed(std::size_t count = 0);
  /// The ending of this connection.
  [[nodiscard]] std::optional<ending> wait_closed_of(actors::connection_id connection);
  [[nodiscard]] std::optional<actors::peer_hello> wait_hello(std::size_t count = 0);

  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] std::size_t endings() const;
  [[nodiscard]] std::size_t messages() const;
  /// How often it was asked to admit somebody.
  [[nodiscard]] std::size_t hellos() const;
  /// Lets every message go.
  void drop_messages();
  /// Called for each message instead of remembering it.
  void on_message(std::function<void(message)> call);
  /// What was told in an order that the contract forbids; empty: nothing.
  [[nodiscard]] std::string broken_promise() const;

private:
  template <class T>
  [[nodiscard]] std::optional<T> wait_for(const std::vector<T>& of, std::size_t count);

  judge admits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<actors::peer_hello> hellos_;
  std::vector<actors::peer_info> connected_;
  std::vector<message> received_;
  std::vector<ending> closed_;
  std::function<void(message)> on_message_;
  std::string broken_promise_;
};

} // namespace ovir::test
