#pragma once

#include "messages/digest.hpp"
#include "messages/invitation.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir {

/// What a machine needs to become a node of a swarm: `ovir up --join LINE`. With the swarm's own
/// key, it is let in as a worker, scheduler and verifier, and lets others in; with that of an
/// invitation, it is let in as far as that says.
///
///     LINE   = HOST:PORT ("," HOST:PORT)* "/ovir-swarm-" base64url, without padding, of 104 bytes:
///     bytes  = "OVS1" seed[32] model[32] keeper[32] context:u32
/// or
///     LINE   = HOST:PORT ("," HOST:PORT)* "/ovir-invite-" base64url likewise, of 250 bytes:
///     bytes  = "OVS2" seed[32] model[32] keeper[32] context:u32 invitation[146]
///
/// Numbers are little-endian; `seed` is that of the invitation's key (docs/formats/join-token.md).
struct swarm_line {
  std::vector<std::string>
      members;              ///< HOST:PORT, 1 to limits::seeds_max; their form is not checked
  secret_key key;           ///< signs what lets a node in: the swarm's, or the invitation's
  digest model;             ///< by its manifest
  node_id keeper;           ///< of the ledger; empty: nobody keeps one
  std::uint32_t context{0}; ///< positions promised to a request, at least 1
  std::optional<invitation> by{};

  /// Whose word lets nodes in.
  [[nodiscard]] const node_id& swarm() const noexcept { return by ? by->admin : key.id(); }
};

/// How the part of a line behind its addresses begins.
inline constexpr std::string_view swarm_line_begin = "ovir-swarm-";
inline constexpr std::string_view invitation_line_begin = "ovir-invite-";

/// Precondition: within the bounds above.
[[nodiscard]] std::string to_text(const swarm_line& line);
/// `malformed` for any other text; it never quotes the secret.
[[nodiscard]] result<swarm_line> swarm_line_from(std::string_view text);

} // namespace ovir
