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

/// Of an advert or a farewell; without its kind it is one of a node that is not counted.
[[nodiscard]] std::uint32_t latest_mark(std::uint64_t salt, const node_id& node,
                                        std::uint64_t incarnation);

// What came: told by `member_table::tell`, heard of and not believed yet, or withdrawn.
void note_latest(member_table& m, const signed_update& update, membership_time now);
void note_heard(member_table& m, const signed_advert& advert, membership_time now);
/// Adverts that a neighbour told because this node's list lacked them, or because it asked.
void note_answered(member_table& m, const std::vector<signed_update>& updates, membership_time now);
void forget_latest_life(member_table& m, const node_id& node);
/// Whether this node heard of a case against it, and took it for settled.
[[nodiscard]] bool had_case(const member_table& m, const node_id& node, std::uint64_t incarnation);
/// Its accusers are enough: it is dead unless it refutes them.
void note_doomed(member_table& m, const node_id& node, membership_time now);
/// It answered this node: its accusers are told on no longer.
void close_latest_case(member_table& m, const node_id& node);

void exchange_latest(member_table& m, membership_time now, membership_effects& out);
void receive_latest(member_table& m, const latest& theirs, const node_id& from, membership_time now,
                    membership_effects& out);
void receive_latest_answer(member_table& m, const latest_answer& theirs, const node_id& from,
                           membership_time now, membership_effects& out);

} // namespace ovir::actors
