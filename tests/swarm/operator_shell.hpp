#pragma once

#include "ledger/log/head.hpp"
#include "messages/signing.hpp"
#include "tests/swarm/wires.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace ovir::swarm {

/// An operator with an admin shell: asks one node after another what docs/formats/admin.md has.
class operator_shell final : public actors::network_handler {
public:
  using json = nlohmann::json;
  /// What came of a command; null: the connection was lost.
  using answer = std::function<void(const json&)>;

  /// `machine`: whose wires it uses.
  operator_shell(wires& at, std::size_t machine, const std::array<std::byte, 32>& key_seed);

  [[nodiscard]] node_id id() const { return key_.id(); }
  /// A head as docs/formats/admin.md shows it.
  [[nodiscard]] static ledger::signed_head head_of(const json& shown);
  /// Asks the node at this address.
  void call(const std::string& address, const std::string& command, json arguments, answer then);

  result<role_set> admit(const actors::peer_hello& hello) override;
  void connected(const actors::peer_info& peer) override;
  void received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t target,
                actors::received_bytes bytes) override;
  void closed(const actors::peer_info& peer, const error& reason) override;

private:
  struct call_under_way {
    std::string command;
    json arguments;
    answer then;
  };
  void end(actors::connection_id connection, const json& with);

  secret_key key_;
  std::map<actors::connection_id, call_under_way> calls_;
  std::unique_ptr<endpoint> links_;
};

} // namespace ovir::swarm
