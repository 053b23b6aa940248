#pragma once

#include "actors/members/member_table.hpp"

/// In a crowd above limits::lists_above members a node asks its neighbours by marks for what it
/// lacks, and who of those that it only heard of is counted there.
namespace ovir::actors {

/// Tells whom this node counts of those that the sender of a summary only heard of.
void vouch_for_heard(member_table& m, const summary& theirs, const node_id& to,
                     membership_effects& out);
/// Asks by marks for what this node lacks of these lines.
void ask_for_lines(member_table& m, const summary& theirs, const node_id& from,
                   membership_effects& out);
/// Asks by marks which of those that this node only heard of `to` counts, but for those it said so
/// of. False: there is none to ask for.
bool ask_for_vouchers(member_table& m, const node_id& to, membership_effects& out);

} // namespace ovir::actors
