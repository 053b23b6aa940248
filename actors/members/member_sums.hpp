#pragma once

#include "actors/members/member_table.hpp"

/// Neighbours of a crowd compare sums of what they count, by parts of the keys, and tell what
/// differs: heals what news that were lost left behind, and shows a newcomer all others.
namespace ovir::actors {

/// One neighbour by chance and, where there are strangers, another that has leave.
[[nodiscard]] std::vector<node_id> exchange_partners(member_table& m);
void exchange_digests(member_table& m, membership_time now, membership_effects& out);
void receive_digests(member_table& m, const digests& theirs, const node_id& from,
                     membership_time now, membership_effects& out);

} // namespace ovir::actors
