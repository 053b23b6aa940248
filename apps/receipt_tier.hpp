#pragma once

#include "apps/console.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/request/tier.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What a receipt shows of the nodes that computed it, by the attestations that it carries.
namespace ovir::apps {

/// What one attestor says of all nodes of a receipt: of its weakest.
struct receipt_tier {
  node_id attestor;
  node_properties properties;
  std::size_t nodes{0}; ///< that signed or sent something, the lead's own node among them if so
};

/// By each attestor that says something of all of them; by key. An attestation counts where its
/// signature holds and it has not ended: at `now_unix`, or when the request's deadline, which the
/// stages signed, had passed.
[[nodiscard]] std::vector<receipt_tier> tiers_of(const receipt& r, std::uint64_t now_unix);
/// The first node that is not shown to have the tier, and what it lacks; none: all have it.
[[nodiscard]] std::optional<std::string> lacking_tier(const receipt& r, const tier_demand& demand,
                                                      std::uint64_t now_unix);

/// Lines for people; empty where the receipt carries no attestation.
[[nodiscard]] std::string tiers_text(const receipt& r, std::uint64_t now_unix);
[[nodiscard]] json tiers_document(const receipt& r, std::uint64_t now_unix);

} // namespace ovir::apps
