#pragma once

#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Invitations for several nodes whose keys are not known yet: docs/formats/join-token.md.
namespace ovir {

/// Leave to let nodes in, signed by an admin key, for a key that is made for it: who has that key's
/// secret signs a join token for a node. Whether it is revoked, and how often it was used, the
/// nodes of the cluster know.
struct invitation {
  node_id key;                   ///< signs the join tokens; names the invitation
  role_set roles;                ///< of each node at most
  std::uint64_t expires_unix{0}; ///< seconds since 1970
  std::uint32_t uses{0};         ///< different nodes, 1 to limits::invitation_uses_max
  node_id admin;
  signature proof;

  friend bool operator==(const invitation&, const invitation&) = default;
};

/// Signs everything but `admin` and `proof`, which it fills in. Precondition: `uses` is within its
/// bounds and `roles` are some of a member's.
[[nodiscard]] invitation issue_invitation(const secret_key& admin, const node_id& key,
                                          role_set roles, std::uint64_t expires_unix,
                                          std::uint32_t uses);
/// limits::invitation_bytes.
[[nodiscard]] std::vector<std::byte> to_bytes(const invitation& what);
/// `malformed`; says nothing about validity.
[[nodiscard]] result<invitation> invitation_from_bytes(std::span<const std::byte> bytes);

/// A join token as a node shows it: of an admin, or of an invitation's key, with the invitation.
struct shown_token {
  join_token token;
  std::optional<invitation> by{};

  /// Who lets the node in.
  [[nodiscard]] const node_id& admin() const noexcept { return by ? by->admin : token.admin; }
  friend bool operator==(const shown_token&, const shown_token&) = default;
};

/// Takes an invitation for `node`: `secret` is that of `by.key`.
[[nodiscard]] shown_token accept_invitation(const secret_key& secret, const invitation& by,
                                            const node_id& node, role_set roles,
                                            std::span<const std::byte, 16> nonce);
/// An admin's word that an invitation is over: a join token for its key, without
/// roles and without an end.
[[nodiscard]] join_token issue_revocation(const secret_key& admin, const node_id& key,
                                          std::span<const std::byte, 16> nonce);
[[nodiscard]] bool is_revocation(const shown_token& shown) noexcept;

[[nodiscard]] std::vector<std::byte> to_bytes(const shown_token& shown);
/// "ovir-join-" and base64url, as that of a join token.
[[nodiscard]] std::string to_text(const shown_token& shown);
/// `malformed`; says nothing about validity. Bytes and text have one encoding each, and an error
/// quotes none of it.
[[nodiscard]] result<shown_token> shown_token_from_bytes(std::span<const std::byte> bytes);
[[nodiscard]] result<shown_token> shown_token_from_text(std::string_view text);

/// Its signatures are those of its admin, and of its invitation's key; it gives no role that the
/// invitation does not; neither is over at `now_unix`. `invalid_argument` with the reason. Uses and
/// revocation are not looked at.
[[nodiscard]] result<void> check(const shown_token& shown, std::uint64_t now_unix);

} // namespace ovir
