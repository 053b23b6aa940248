#pragma once

#include "actors/link/tls_network.hpp"

#include <nlohmann/json.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ovir::test {

/// The secret key of a seed of this many equal bytes.
[[nodiscard]] secret_key key_of(std::uint8_t seed);

/// A node that knows nothing but its script: answers admin commands over a real link on loopback.
class fake_node : private actors::network_handler {
public:
  using json = nlohmann::ordered_json;
  /// Called for each command in order, on the network's thread.
  using script = std::function<void(fake_node&, const json& command)>;

  explicit fake_node(std::uint8_t key_seed, script answers);
  ~fake_node() override;
  fake_node(const fake_node&) = delete;
  fake_node& operator=(const fake_node&) = delete;

  [[nodiscard]] std::string address() const { return network_->admin_address(); }
  [[nodiscard]] node_id id() const { return key_.id(); }
  /// Names of the commands that came, and the commands.
  [[nodiscard]] std::vector<std::string> commands() const;
  [[nodiscard]] std::vector<json> requests() const;

  // For scripts
  void event(const json& command, json event);
  void token(const json& command, std::uint64_t index, std::uint32_t token, std::string text);
  void done(const json& command, json data);
  void refuse(const json& command, const std::string& code, const std::string& message);
  void say(const std::string& bytes);
  /// Closes the connection behind what was said.
  void drop();
  /// Lets nobody in from now on, with this reason.
  void close_door(error reason);

private:
  result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info&, const error&) override {}

  secret_key key_;
  script answers_;
  mutable std::mutex guard_; ///< for the following
  actors::connection_id latest_{};
  std::vector<json> requests_;
  std::optional<error> door_;
  std::unique_ptr<actors::tls_network> network_;
};

} // namespace ovir::test
