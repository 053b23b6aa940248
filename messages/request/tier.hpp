#pragma once

#include "messages/digest.hpp"
#include "messages/limits/privacy.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <string>
#include <string_view>
#include <vector>

/// What a request demands of each node that computes a part of it, as attestors that its client
/// trusts say it (docs/formats/attestation.md, docs/PRIVACY.md).
namespace ovir {

/// What an attestor says of a node, or a request demands of one. An empty text says, or demands,
/// nothing.
struct node_properties {
  std::string operated_by;  ///< at most limits::attested_operator_bytes_max
  std::string region;       ///< at most limits::attested_region_bytes_max
  std::string confidential; ///< how its memory is hidden from its operator: `any_level` or a name

  [[nodiscard]] bool empty() const noexcept {
    return operated_by.empty() && region.empty() && confidential.empty();
  }
  friend bool operator==(const node_properties&, const node_properties&) = default;
};
/// Demanded: any level will do. Attested: no particular one.
inline constexpr std::string_view any_level = "yes";

/// Each text is printable ASCII without blanks around it or commas. `over_limit` or `malformed`.
[[nodiscard]] result<void> check(const node_properties& what);

/// Each property that is demanded must be attested by one of these keys. Without properties, any
/// attestation by one of them will do.
struct tier_demand {
  std::vector<node_id> attestors; ///< 1 to limits::tier_attestors_max, ascending
  node_properties properties;

  friend bool operator==(const tier_demand&, const tier_demand&) = default;
};

/// `over_limit` or `malformed`.
[[nodiscard]] result<void> check(const tier_demand& demand);

/// "attestor=HEX,operator=NAME,region=NAME,confidential=LEVEL": one `attestor` or more, the others
/// where they are demanded; `confidential` alone demands any level. `invalid_argument` says which
/// word is none.
[[nodiscard]] result<tier_demand> tier_from_text(std::string_view text);
[[nodiscard]] std::string to_text(const tier_demand& demand);

/// Whether a node of properties `has` has those of `wanted`.
[[nodiscard]] bool covers(const node_properties& has, const node_properties& wanted) noexcept;
/// The properties that both have: of two nodes in one cohort. A level that differs is any level.
[[nodiscard]] node_properties common(const node_properties& a, const node_properties& b);
/// "operator NAME, region NAME, confidential LEVEL"; "nothing" where there is none.
[[nodiscard]] std::string to_string(const node_properties& what);

/// What names in caches are made with for requests of a tier, in place of their owner's salt.
[[nodiscard]] digest names_salt(const digest& owner, const tier_demand& demand);

} // namespace ovir
