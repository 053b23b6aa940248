#pragma once

#include "actors/members/member_table.hpp"

/// In a crowd a node is a member when enough neighbours count it (`limits::vouchers_min`).
namespace ovir::actors {

/// `from` counts this node.
void hear_counted(member_table& m, const known_node& line, const node_id& from, membership_time now,
                  membership_effects& out);
/// Its advert is here: what neighbours said before counts.
void take_claims(member_table& m, member_entry& e, membership_time now, membership_effects& out);

} // namespace ovir::actors
