#pragma once

#include "actors/members/member_table.hpp"
#include "messages/digest.hpp"
#include "messages/error.hpp"
#include "messages/evidence/attestation.hpp"
#include "messages/ids.hpp"
#include "messages/request/tier.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Keeps requests that demand a tier on nodes that are attested it (docs/PRIVACY.md).
namespace ovir::actors {

/// Which members have a tier, by what they show. A signature that held is not verified again, of
/// the last limits::attestations_known_max to twice as many. No clock: times are given.
class attested_tiers {
public:
  /// What counts of what the member shows, of the attestors that are demanded.
  [[nodiscard]] std::vector<attestation> shown_for(const tier_demand& demand, const member& m,
                                                   std::uint64_t now_unix);
  [[nodiscard]] bool has(const tier_demand& demand, const member& m, std::uint64_t now_unix) {
    return !lacking(demand, shown_for(demand, m, now_unix));
  }
  /// How often a signature was verified.
  [[nodiscard]] std::uint64_t verified() const noexcept { return verified_; }

private:
  [[nodiscard]] bool holds(const attestation& a);

  std::set<digest> recent_;
  std::set<digest> earlier_; ///< dropped when `recent_` is full
  std::uint64_t verified_{0};
};

/// A holder of layers of a model, and what counts of what it is attested.
struct attested_holder {
  layer_range layers;
  std::vector<attestation> attested;
};

/// Why there is no path for a request that demands a tier: the first layers that holders have, and
/// none with the tier; and what none of these is attested. None: the tier is not in the way, as
/// where a layer has no holder at all. `layers`: of the whole model.
[[nodiscard]] std::optional<error> no_tier(const tier_demand& demand, std::string_view model,
                                           std::span<const attested_holder> held,
                                           std::uint32_t layers);

} // namespace ovir::actors
