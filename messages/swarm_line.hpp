#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir {

/// What a machine needs to become a node of a swarm: `ovir up --join LINE`. Who has the line is let
/// in, as a worker, scheduler and verifier, and lets others in.
///
///     LINE   = HOST:PORT ("," HOST:PORT)* "/ovir-swarm-" base64url, without padding, of 104 bytes:
///     bytes  = "OVS1" seed[32] model[32] keeper[32] context:u32
///
/// Numbers are little-endian.
struct swarm_line {
  std::vector<std::string>
      members;              ///< HOST:PORT, 1 to limits::seeds_max; their form is not checked
  secret_key key;           ///< signs what lets a node in
  digest model;             ///< by its manifest
  node_id keeper;           ///< of the ledger; empty: nobody keeps one
  std::uint32_t context{0}; ///< positions promised to a request, at least 1
};

/// Precondition: within the bounds above.
[[nodiscard]] std::string to_text(const swarm_line& line);
/// `malformed` for any other text; it never quotes the secret.
[[nodiscard]] result<swarm_line> swarm_line_from(std::string_view text);

} // namespace ovir
