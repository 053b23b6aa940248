#pragma once

#include "actors/members/member_table.hpp"

/// What membership makes of gossip: each update is compared with what is known, and only where it
/// would change something its signature is checked.
namespace ovir::actors {

/// What a message costs a peer of its allowance.
[[nodiscard]] std::uint32_t cost_of(const gossip_body& body);
void apply_update(member_table& m, const signed_update& update, const node_id& from,
                  gossip_link& by, membership_time now, membership_effects& out);
void receive_gossip(member_table& m, const gossip_body& body, const node_id& from,
                    membership_time now, membership_effects& out);

} // namespace ovir::actors
