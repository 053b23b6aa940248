#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/request/privacy.hpp"

#include <cstdint>
#include <vector>

namespace ovir::actors {

/// What a node's configuration says of requests that few nodes may see.
struct privacy_settings {
  privacy_mode requests{privacy_mode::none};     ///< of every request, its own and clients'
  std::vector<node_id> nodes;                    ///< for the ends, this one among them; ascending
  std::uint32_t first{limits::ends_first_usual}; ///< as of `ends_rule`
  std::uint32_t last{limits::ends_last_usual};
  digest secret{}; ///< of this node alone: salts follow from it
};

/// Gives a request that it is asked of, by its client or by this node's configuration, the rule for
/// its ends, and names of its own in caches. One that came with a rule keeps that: another lead
/// began it. One that demands a tier uses what requests of this tier left alone. `invalid_argument`
/// where its client signed what pays for it: the ledger's entry would say what is asked.
[[nodiscard]] result<void> make_private(generation_request& request,
                                        const privacy_settings& settings);

} // namespace ovir::actors
