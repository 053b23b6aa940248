#pragma once

#include "messages/limits/privacy.hpp"
#include "messages/node_id.hpp"
#include "messages/request/tier.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What an attestor signs of a node: docs/formats/attestation.md. Any key may attest anything: it
/// counts for requests that name the key.
namespace ovir {

struct attestation {
  node_id node;                  ///< whom it is about
  std::uint64_t expires_unix{0}; ///< seconds since 1970, exclusive
  node_properties properties;    ///< at least one
  node_id attestor;
  signature proof;

  friend bool operator==(const attestation&, const attestation&) = default;
};

/// Signs everything but `attestor` and `proof`, which it fills in. Precondition: `check` accepts
/// the properties, and there is one.
[[nodiscard]] attestation attest(const secret_key& attestor, const node_id& node,
                                 node_properties properties, std::uint64_t expires_unix);
/// At most limits::attestation_bytes_max. Precondition: as `attest` or a decoder made it.
[[nodiscard]] std::vector<std::byte> to_bytes(const attestation& what);
/// `malformed` or `over_limit`; says nothing about the signature. One encoding each.
[[nodiscard]] result<attestation> attestation_from_bytes(std::span<const std::byte> bytes);
/// "ovir-attested-" and base64url.
[[nodiscard]] std::string to_text(const attestation& what);
[[nodiscard]] result<attestation> attestation_from_text(std::string_view text);
/// Whether its attestor signed it. Time is not looked at.
[[nodiscard]] bool is_genuine(const attestation& what);

/// Of a list, one after the other, as texts: what commands and files say in lines. Blanks, empty
/// lines and lines that begin with # are left out. At most `most`.
[[nodiscard]] result<std::vector<attestation>> attestations_from_lines(std::string_view text,
                                                                       std::size_t most);

/// Whether a signature holds, by whatever its caller remembers.
using attestation_check = std::function<bool(const attestation&)>;
/// Attestations of `shown` that say something of `node` at `now_unix`, by an attestor of the
/// demand. `genuine` is asked of these alone.
[[nodiscard]] std::vector<attestation> counting(const tier_demand& demand, const node_id& node,
                                                std::span<const attestation> shown,
                                                std::uint64_t now_unix,
                                                const attestation_check& genuine);
/// The first property that a request demands and none of `attested`, all of one node, says; in
/// words, such as "region eu". None: the node has the tier.
[[nodiscard]] std::optional<std::string> lacking(const tier_demand& demand,
                                                 std::span<const attestation> attested);

} // namespace ovir
