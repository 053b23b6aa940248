#pragma once

#include "actors/members/member_table.hpp"

#include <span>

/// Membership above a full mesh (limits::mesh_members_max members).
///
/// A node draws a few neighbours among the members, changes one now and then, and keeps links to
/// them and to those that drew it. It pings these, and looks at one other member now and then over
/// a link that it closes again; the peer is told that this closing says nothing.
///
/// Who failed this node is suspect here, and accused. Three accusers at its newest incarnation make
/// it suspect for everyone, and dead unless it refutes that in time; a few of those that hear of
/// an accusation look for themselves. One accuser alone removes nobody.
///
/// A node becomes a member by a link, or because three linked neighbours count it at its newest
/// incarnation. A newcomer begins as in a full mesh, so that many have had a link with it when it
/// finds itself in a crowd. Neighbours tell each other whom they begin to count, and compare sums
/// of what they count, by parts of the keys; parts that differ are told in full.
///
/// Above limits::lists_above members news goes by lists instead (member_latest.hpp).
namespace ovir::actors {

/// A crowd begins above the full mesh, and ends well below it.
void follow_size(member_table& m, membership_time now);
/// Whether an advert of this node may be told now, and not later with the next: what changes often
/// is told the less often the more members there are. Counts it.
[[nodiscard]] bool may_advertise(member_table& m, const node_advert& next, membership_time now);
/// Whether to refute a single accuser, which only itself believes: it costs everyone an advert.
[[nodiscard]] bool may_refute_one(member_table& m, membership_time now);
void crowd_tick(member_table& m, membership_time now, membership_effects& out);
void crowd_link_up(member_table& m, const node_id& peer, membership_time now,
                   membership_effects& out);
/// It was no parting.
void crowd_link_lost(member_table& m, member_entry& e, membership_time now,
                     membership_effects& out);
/// Pings it, over a link that is opened where there is none.
void look_at(member_table& m, member_entry& e, membership_time now, membership_effects& out);
/// Looks at one of these that a neighbour lacks or holds for dead, unless it is new or linked: it
/// may have died before it was widely known, and then no three accuse it. None where they are many.
void doubt(member_table& m, std::span<const node_id> lacked, membership_time now,
           membership_effects& out);
/// One more accuser, whose word was checked.
void hear_accusation(member_table& m, member_entry& subject, const signed_suspicion& word,
                     membership_time now, membership_effects& out);
void receive_parting(member_table& m, const node_id& from);

} // namespace ovir::actors
