#pragma once

#include "actors/members/member_table.hpp"

/// What membership does as time passes: probes, deadlines, links that are wanted, news.
namespace ovir::actors {

/// Wants a link, unless that is an address of our own, or too often: false.
bool dial(member_table& m, member_entry& e, membership_time now, membership_effects& out);
/// Over the link there is, and through others where there is none or no time to try first.
void begin_probe(member_table& m, member_entry& e, bool ask_at_once, membership_time now,
                 membership_effects& out);
/// Ends probes that were not answered in time, and declares suspects dead whose time is over.
void check_probes(member_table& m, membership_time now, membership_effects& out);
/// A suspect is asked again and again, by every way, until it answers or is dead.
void probe_suspects(member_table& m, membership_time now, membership_effects& out);
/// One member per interval, each once a round, in an order of chance: everyone is probed within two
/// rounds.
void probe_next(member_table& m, membership_time now, membership_effects& out);
/// Leave to be a member may be withdrawn.
void check_allowed(member_table& m, membership_time now, membership_effects& out);
/// Pings alone carry news at one message an interval; a fan-out of three reaches everyone sooner.
void spread_news(member_table& m, membership_effects& out);
/// Members without a link, and the dead: a partition may be over, or the frozen may go on, and
/// neither side would speak first.
void look_for_members(member_table& m, membership_time now, membership_effects& out);
/// Now and then everything with someone: heals what news that were lost left behind.
void exchange_summaries(member_table& m, membership_effects& out);
void forget_old_members(member_table& m, membership_time now);

} // namespace ovir::actors
