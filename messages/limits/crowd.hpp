#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of membership above limits::mesh_members_max members, where a node keeps links to a few
/// of them (actors/members/member_crowd.hpp). Intervals are in probe intervals.
namespace ovir::limits {

// Members that are all linked. 64 processes on two processors, all linked, keep each other from
// answering; with links to a few they do not.
inline constexpr std::size_t mesh_members_max = 32;

inline constexpr std::size_t neighbours_drawn = 8;     // by a node itself; others draw it
inline constexpr std::uint32_t redraw_intervals = 300; // between two changes of one of them
inline constexpr std::size_t short_links_max = 16;     // opened to look at members, at once
inline constexpr std::uint32_t idle_intervals = 30;    // then a link nobody uses is closed
inline constexpr std::uint32_t dial_intervals = 20;    // a member that is there is linked by then
inline constexpr std::uint32_t look_intervals = 10;    // between looks at members without a link
// A newcomer looks as often as it pings neighbours until one of so many members had a link with it:
// from then on three vouchers among a node's neighbours are found for it everywhere.
inline constexpr std::uint32_t met_share = 24;
inline constexpr std::uint32_t neighbour_intervals = 2; // between pings of neighbours
inline constexpr std::uint32_t exchange_intervals = 40; // between two digests, where they agree
inline constexpr std::uint32_t catch_up_intervals = 4;  // where much is missing
inline constexpr std::uint32_t lost_intervals = 40;     // between looks at the dead, if in vain
inline constexpr std::uint32_t sweep_intervals = 100;   // between looks at every entry
inline constexpr std::uint32_t refute_intervals = 20;   // between two refutations
// Refutations to a single accuser: so many more at once than one each interval times the members.
inline constexpr std::int64_t lone_doubts_burst = 2;
inline constexpr std::uint32_t suspect_intervals = 50;    // between looks at a suspect
inline constexpr std::size_t accusers_min = 3;            // who make a node suspect, and then dead
inline constexpr std::size_t vouchers_min = 3;            // neighbours who make a node a member
inline constexpr std::size_t lookers = 16;                // who look because of one accusation
inline constexpr std::size_t crowd_introductions = 1'024; // unreached nodes that a peer may tell of
inline constexpr std::size_t crowd_news_max = 32;         // updates told in passing, per message
inline constexpr std::size_t exchanged_buckets_max = 64;  // whose lines answer one digest
inline constexpr std::uint32_t exchanged_updates_max = 384;   // that answer one summary
inline constexpr std::uint32_t exchanged_updates_refill = 12; // more, per probe interval
inline constexpr std::uint32_t sampled_updates = 16;          // likewise, for a node that knows few
inline constexpr std::size_t claims_max = 4'096;      // vouched for before their advert came
inline constexpr std::size_t fresh_max = 4'096;       // lines kept for slow neighbours
inline constexpr std::size_t peer_claims_max = 1'024; // of these, by one peer and sweep
// What an accusation and an advert take of their node's allowance.
inline constexpr std::uint32_t crowd_accusation_cost = 4;
inline constexpr std::uint32_t crowd_advert_cost = 8;
// Adverts of this node that do not wait their turn: so many at once, then one per interval.
inline constexpr std::uint32_t urgent_burst = 8;
inline constexpr std::chrono::milliseconds urgent_interval{10'000};
// What waits for a link that is being opened: bytes of all, and half seconds.
inline constexpr std::size_t link_mail_bytes_max = 64U << 20U;
inline constexpr std::uint32_t link_mail_ticks = 8;
inline constexpr std::uint32_t seed_knocks = 120; // half seconds between two, in a crowd

// Large crowds (actors/members/member_latest.hpp)
inline constexpr std::size_t crowd_members_max = 8'192; // as far as membership goes
// Members above which news goes by lists of what is new instead of being told several times. Then
// looks and adverts of load are rarer by one part of so many members, exchanges by a quarter of it.
inline constexpr std::size_t lists_above = 512;
inline constexpr std::size_t thinned_each = 256;
inline constexpr std::uint32_t latest_intervals = 10; // between two lists
// For how long what came is on lists, is sent to those whose lists lack it, and is recognised on
// others' lists. Who heard of something several seconds later than others still finds it with them.
inline constexpr std::uint32_t latest_listed = 70;
inline constexpr std::uint32_t latest_heard = 150; // likewise, while it is not counted
inline constexpr std::uint32_t latest_offered = 50;
inline constexpr std::uint32_t latest_kept = 400;
inline constexpr std::size_t latest_marks_max = 1'024;       // of one list
inline constexpr std::size_t latest_unbelieved_max = 64;     // of these, heard of and not counted
inline constexpr std::size_t latest_answer_max = 64;         // of each kind, in one answer
inline constexpr std::size_t latest_kept_max = 4'096;        // of each kind, remembered
inline constexpr std::uint32_t lists_redraw_intervals = 600; // as redraw_intervals
inline constexpr std::uint32_t lists_ping_intervals = 10;    // between pings of neighbours
inline constexpr std::uint32_t lists_met_share = 32;         // as met_share, looking each interval
inline constexpr std::size_t lists_lines_max = 128;          // of members, that answer one digest
// A newcomer asks for so many members at once, of so many buckets at first. More than
// exchanged_updates_max would not be told.
inline constexpr std::size_t walk_lines = 320;
inline constexpr std::size_t walk_first_buckets = 8;
inline constexpr std::size_t learned_lines = 512; // as walk_lines, where much differs later
// What a newcomer learns is told by others, if by anyone: for so long after it lacked much.
inline constexpr std::uint32_t learning_intervals = 200;
// Links that a node opens at once while it is not told yet that it is one of a crowd.
inline constexpr std::size_t crowd_contacts_max = 4;
inline constexpr std::size_t much_differs = 128; // buckets
// Of digests, one compares all buckets, so that who makes news of itself hides none for good.
inline constexpr std::uint64_t compare_all_share = 8;
// Where a neighbour lacks so few members, one of them is looked at: it may be long dead.
inline constexpr std::size_t doubtful_lines = 8;
inline constexpr std::uint32_t doubt_intervals = 10; // between two such looks
inline constexpr std::size_t lists_first_told = 4;   // neighbours told of an own advert at once

} // namespace ovir::limits
