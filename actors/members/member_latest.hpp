#pragma once

#include "actors/members/member_table.hpp"

/// News in a crowd above limits::lists_above members, where telling each update several times would
/// cost more than all else.
///
/// A node marks what came to it lately and sends the marks to one neighbour in turn. The neighbour
/// answers with what they lack of its own, and asks for what it does not know; so each update
/// crosses each node about once. A mark also says that the sender counts a node, as a line beside a
/// message does elsewhere. Suspicions of one node go together, until there are enough of them.
namespace ovir::actors {

// What came: told by `member_table::tell`, heard of and not believed yet, or withdrawn.
void note_latest(member_table& m, const signed_update& update, membership_time now);
void note_heard(member_table& m, const signed_advert& advert, membership_time now);
void forget_latest_life(member_table& m, const node_id& node);
/// Its accusers are enough: it is dead unless it refutes them.
void note_doomed(member_table& m, const node_id& node, membership_time now);
/// It answered this node: its accusers are told on no longer.
void close_latest_case(member_table& m, const node_id& node);

/// Tells whom this node counts of those that the sender of a summary only heard of.
void vouch_for_heard(member_table& m, const summary& theirs, const node_id& to,
                     membership_effects& out);
void exchange_latest(member_table& m, membership_time now, membership_effects& out);
void receive_latest(member_table& m, const latest& theirs, const node_id& from, membership_time now,
                    membership_effects& out);
void receive_latest_answer(member_table& m, const latest_answer& theirs, const node_id& from,
                           membership_time now, membership_effects& out);

} // namespace ovir::actors
