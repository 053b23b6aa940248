#pragma once

#include "actors/link/network.hpp"
#include "actors/link/stranger_door.hpp"
#include "messages/invitation.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// Who may connect to this node, and as what: keys its configuration names, keys that came with a
/// join token of an admin; in an open cluster all others as strangers (stranger_door.hpp). Tokens
/// work once: every nonce is remembered with the key it
/// admitted, also over restarts, so a kicked node does not come back with a token it has shown
/// before. The one place that says what a key may do here: `roles_of`. Thread-safe.
class access_list {
public:
  struct settings {
    std::map<node_id, role_set> keys;
    std::vector<node_id> admins;    ///< their tokens count
    std::string path;               ///< where admissions are kept; empty: nowhere
    std::string cluster{};          ///< members of others are refused; empty: not looked at
    node_id self{};                 ///< this node, a member of its own cluster
    std::vector<std::byte> token{}; ///< its own, for those who do not know it; may be empty
    bool open{false};               ///< keys of which nothing is known are let in as strangers
  };

  /// Reads what was kept. `env` outlives it; `malformed` for a file that is not one of ours.
  [[nodiscard]] static result<std::unique_ptr<access_list>> load(storage::env& env, settings how);

  /// What a peer may be. `unix_now`: seconds. The sentence of a refusal is told to the peer.
  [[nodiscard]] result<role_set> admit(const peer_hello& hello, std::uint64_t unix_now);
  /// What a key may do here: the roles that the configuration gives it, or those of the token that
  /// admitted it. None for all others: a token that was not seen here gives nothing, nor do
  /// kicked keys have any. Of this node itself: none, it knows its own.
  [[nodiscard]] role_set roles_of(const node_id& node) const;
  /// Whether an admin or the configuration ever let this key in as a member, be it gone, kicked or
  /// convicted since; this node itself is one. Such a key can be audited and convicted. It says
  /// nothing about what the key may do.
  [[nodiscard]] bool was_member(const node_id& node) const { return !past_roles_of(node).empty(); }
  /// What it was let in as at most: what it may have done.
  [[nodiscard]] role_set past_roles_of(const node_id& node) const;
  /// Whether it may be here without leave: of an open cluster, neither listed nor admitted by a
  /// token nor put out.
  [[nodiscard]] bool is_stranger(const node_id& node) const;
  /// It has a link with this node, and no longer. Nodes with leave are not counted.
  void came(const node_id& node);
  void went(const node_id& node);
  /// Strangers whose links are to be closed: others have their places.
  [[nodiscard]] std::vector<node_id> take_replaced();
  /// None where the cluster is not open.
  [[nodiscard]] std::optional<stranger_door::counts> strangers() const;
  /// Whether it is out for good.
  [[nodiscard]] bool is_convicted(const node_id& node) const;
  /// Whether gossip about a node is worth keeping, because it is a member or could show a token
  /// when it connects, and the roles it could have at most. Decides nothing: every unknown key
  /// could show one.
  [[nodiscard]] std::optional<role_set> worth_hearing_of(const node_id& node) const;
  /// A member's join token, which another node shows as evidence (docs/formats/audit.md): it admits
  /// its key as if that had come with it. One whose time is over makes its key a member without
  /// roles; of a key that has roles or was kicked it changes nothing. A revocation ends its
  /// invitation, also after a restart; it takes nothing from a member. An
  /// error says why it does not count; `not_found`: it is of an admin that this node does not have,
  /// or of no member; `over_limit`: its invitation is used up or revoked, or too much is
  /// remembered.
  [[nodiscard]] result<void> show(std::span<const std::byte> token, std::uint64_t unix_now);
  /// A token that vouches for this key, to show to others; empty where there is none.
  [[nodiscard]] std::vector<std::byte> token_of(const node_id& node) const;
  /// An invitation of which this node knows a use, or its end.
  struct known_invitation {
    node_id key;
    std::optional<invitation> what{}; ///< none: it was revoked before it was used
    std::size_t used{0};              ///< by different nodes
    bool revoked{false};
  };
  [[nodiscard]] std::vector<known_invitation> invitations() const;
  /// Whether members tell it to each other: tokens by invitations and revocations, in an open
  /// cluster all tokens, without which a member is a stranger to those that it is not linked with.
  [[nodiscard]] bool is_told(const shown_token& shown) const noexcept {
    return shown.by.has_value() || is_revocation(shown) || settings_.open;
  }
  /// What other members must hear so that all know the guests of an invitation, also those that
  /// join later: what `is_told`, revocations behind the guests that came before. At most
  /// `most`, beginning with the one of index `first` of all that this node ever learned, behind
  /// which `first` is then.
  [[nodiscard]] std::vector<std::vector<std::byte>> notices(std::size_t& first,
                                                            std::size_t most) const;
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
    std::vector<std::byte> token{};                   ///< one of them, to show; may be empty
    bool kicked{false};
    bool convicted{false}; ///< implies `kicked`
  };

  access_list(storage::env& env, settings how) : env_(env), settings_(std::move(how)) {}
  [[nodiscard]] result<role_set> by_token(const peer_hello& hello, std::uint64_t unix_now);
  [[nodiscard]] result<role_set> by_the_open_door(const peer_hello& hello, std::uint64_t unix_now);
  [[nodiscard]] bool is_unknown(const node_id& node) const;
  /// Makes room for a conviction among those of strangers, who lose nothing by a new key.
  void forget_a_stranger();
  [[nodiscard]] bool is_admin(const node_id& key) const;
  [[nodiscard]] result<void> learn(const shown_token& shown, std::uint64_t unix_now);
  [[nodiscard]] result<void> revoke(const shown_token& shown);
  /// Whether its invitation lets one more node in; also where there is none.
  [[nodiscard]] result<void> still_open(const shown_token& shown) const;
  [[nodiscard]] static bool was_let_in_by(const admission& entry, const invitation& by);
  /// Of an invitation, in admissions of others than `node`.
  [[nodiscard]] std::size_t uses_of(const node_id& invitation_key, const node_id& node) const;
  void note(const node_id& node);
  /// For `kick` and `expel`.
  [[nodiscard]] result<void> put_out(const node_id& node, bool convicted);
  /// Puts `entry` for `node` in place and on disk, or nothing at all.
  [[nodiscard]] result<void> remember(const node_id& node, admission entry);
  [[nodiscard]] result<void> save() const;

  storage::env& env_;
  mutable std::mutex guard_;
  settings settings_;
  std::map<node_id, admission> admitted_;
  std::vector<node_id> noticed_; ///< whose admissions others must hear of; each once
  stranger_door door_;
};

} // namespace ovir::actors
