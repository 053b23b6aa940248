#pragma once

#include "actors/network.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// Who may connect to this node, and as what: keys its configuration names, keys that came with a
/// join token of an admin, nobody else. Tokens work once: every nonce is remembered with the key it
/// admitted, also over restarts, so a kicked node does not come back with a token it has shown
/// before. Thread-safe.
class access_list {
public:
  struct settings {
    std::map<node_id, role_set> keys;
    std::vector<node_id> admins; ///< their tokens count
    std::string path;            ///< where admissions are kept; empty: nowhere
    std::string cluster{};       ///< members of others are refused; empty: not looked at
  };

  /// Reads what was kept. `env` outlives it; `malformed` for a file that is not one of ours.
  [[nodiscard]] static result<std::unique_ptr<access_list>> load(storage::env& env, settings how);

  /// What a peer may be. `unix_now`: seconds. The sentence of a refusal is told to the peer.
  [[nodiscard]] result<role_set> admit(const peer_hello& hello, std::uint64_t unix_now);
  /// Whether gossip about a node is worth keeping: it is known here, or could show a token when it
  /// connects.
  [[nodiscard]] std::optional<role_set> possible(const node_id& node) const;
  /// Never again, unless an admin issues a new token or the configuration names it and this node is
  /// restarted.
  [[nodiscard]] result<void> kick(const node_id& node);
  /// Never again, whatever token it shows and whatever the configuration names: who lied once and
  /// could come back for a token would pay a token for a lie. An operator who wants the machine
  /// back gives it a new key.
  [[nodiscard]] result<void> expel(const node_id& node);
  /// After a reload of the configuration.
  void replace_keys(std::map<node_id, role_set> keys);

private:
  struct admission {
    role_set roles;                                   ///< of the latest token
    std::vector<std::array<std::uint8_t, 16>> used{}; ///< nonces of its tokens, latest last
    bool kicked{false};
    bool convicted{false}; ///< implies `kicked`
  };

  access_list(storage::env& env, settings how) : env_(env), settings_(std::move(how)) {}
  [[nodiscard]] result<role_set> by_token(const peer_hello& hello, std::uint64_t unix_now);
  /// Puts `entry` for `node` in place and on disk, or nothing at all.
  [[nodiscard]] result<void> remember(const node_id& node, admission entry);
  [[nodiscard]] result<void> save() const;

  storage::env& env_;
  mutable std::mutex guard_;
  settings settings_;
  std::map<node_id, admission> admitted_;
};

} // namespace ovir::actors
