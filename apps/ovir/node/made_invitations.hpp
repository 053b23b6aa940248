#pragma once

#include "messages/invitation.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// An invitation as far as this machine knows it: it made it, or its node saw it used or revoked.
struct listed_invitation {
  node_id key;
  role_set roles{};              ///< empty: not known here
  std::uint64_t expires_unix{0}; ///< 0 likewise
  std::uint32_t uses{0};
  std::size_t used{0}; ///< by nodes that this machine's node knows
  bool revoked{false};

  /// "open", "revoked", "expired", "used up".
  [[nodiscard]] std::string_view state(std::uint64_t now_unix) const noexcept;
};

/// Adds an invitation to those that a machine made, in the file `invitations` of its node's folder:
/// the line `ovir-invitations-v1`, then the bytes of each in hexadecimal. No secret is kept.
/// Expired ones are dropped; `over_limit` above limits::invitations_kept_max.
[[nodiscard]] result<void> keep_invitation(storage::env& environment, const std::string& folder,
                                           const invitation& made, std::uint64_t now_unix);
/// Those made here, and those that the node of this folder saw, by key.
[[nodiscard]] result<std::vector<listed_invitation>> known_invitations(storage::env& environment,
                                                                       const std::string& folder);
/// The one whose key begins so, with at least 4 digits.
[[nodiscard]] result<node_id> invitation_named(std::span<const listed_invitation> known,
                                               std::string_view begin);

} // namespace ovir::apps
